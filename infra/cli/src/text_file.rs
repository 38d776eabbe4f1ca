//! Accounts files as people save them: UTF-8, or an error that says what to do.

use std::path::Path;

use anyhow::{Context, Result};

use spillway_service::accounts_file;

use crate::campaign::refuse;

/// Reads an accounts file; `-` is standard input. Returns the text, and how the file is called.
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
    match accounts_file::decode(bytes) {
        Ok(text) => Ok((text, shown)),
        // Lines of a file that is no text are not shown.
        Err(error) => Err(refuse(&shown, "", &error)),
    }
}
