//! Files as people save them: UTF-8, or an error that says what to do.

use std::path::Path;

use anyhow::{Context, Result};

use crate::exit::Refused;

/// Reads a text file; `-` is standard input. Returns the text, and how the file is called.
pub(crate) fn read(path: &Path) -> Result<(String, String)> {
    let (bytes, shown) = if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut std::io::stdin(), &mut bytes)
            .context("read standard input")?;
        (bytes, "standard input".to_owned())
    } else {
        let shown = path.display().to_string();
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {shown}"))?;
        (bytes, shown)
    };
    let text = decoded(bytes)
        .map_err(|reason| Refused { reasons: format!("{shown}:{reason}"), file: shown.clone() })?;
    Ok((text, shown))
}

/// Returns the text, or the line and what is wrong with it.
fn decoded(bytes: Vec<u8>) -> Result<String, String> {
    if let [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, ..] | [_, 0, ..] = bytes[..] {
        return Err("1: the file is UTF-16: save it as UTF-8".into());
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|&&byte| byte == b'\n').count();
        format!("{line}: a character is not UTF-8: save the file as UTF-8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_utf_8_is_refused_with_its_line() {
        assert_eq!(decoded(b"a\xc3\xa9".to_vec()).unwrap(), "a\u{e9}");
        for utf_16 in [&b"\xff\xfea\0"[..], b"\xfe\xff\0a", b"a\0b\0", b"\0a\0b"] {
            assert!(decoded(utf_16.to_vec()).unwrap_err().contains("UTF-16"), "{utf_16:?}");
        }
        assert!(decoded(b"a\nb\xe9\n".to_vec()).unwrap_err().starts_with("2: "));
    }
}
