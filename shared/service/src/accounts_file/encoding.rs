//! The bytes of a file as text: UTF-8, or a mistake that says what to do.

use super::mistake::{AccountsFileError, Mistake, Reason};

/// Decodes the bytes of a file.
///
/// # Errors
/// Returns the first line that is not UTF-8.
pub fn decode(bytes: Vec<u8>) -> Result<String, AccountsFileError> {
    let refused = |line, reason| AccountsFileError { mistakes: vec![Mistake { line, reason }] };
    if let [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, ..] | [_, 0, ..] = bytes[..] {
        return Err(refused(1, Reason::Utf16));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|&&byte| byte == b'\n').count();
        refused(line, Reason::NotUtf8)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_utf_8_is_refused_with_its_line() {
        assert_eq!(decode(b"a\xc3\xa9".to_vec()).unwrap(), "a\u{e9}");
        for utf_16 in [&b"\xff\xfea\0"[..], b"\xfe\xff\0a", b"a\0b\0", b"\0a\0b"] {
            let refused = decode(utf_16.to_vec()).unwrap_err().to_string();
            assert_eq!(refused, "line 1: the file is UTF-16: save it as UTF-8");
        }
        let refused = decode(b"a\nb\xe9\n".to_vec()).unwrap_err().to_string();
        assert_eq!(refused, "line 2: a character is not UTF-8: save the file as UTF-8");
    }
}
