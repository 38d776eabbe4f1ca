//! Confirmation of what cannot be undone.

use std::io::{IsTerminal, Write};

use anyhow::{Context, Result};
use clap::Args;

use crate::exit::NotConfirmed;

/// Whether somebody is asked.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Consent {
    /// Do not ask: for scripts
    #[arg(long, short)]
    yes: bool,
}

impl Consent {
    /// Asks whether to do `what`, unless that was said with `--yes`.
    ///
    /// # Errors
    /// When it is not wanted, or nobody can be asked.
    pub(crate) fn ask(self, what: &str) -> Result<()> {
        if self.yes {
            return Ok(());
        }
        let stdin = std::io::stdin();
        if !stdin.is_terminal() {
            return Err(NotConfirmed(format!("{what}: say --yes to do it")).into());
        }
        let mut stderr = std::io::stderr();
        write!(stderr, "{what}. Go on? [y/N] ").and_then(|()| stderr.flush()).context("ask")?;
        let mut answer = String::new();
        stdin.read_line(&mut answer).context("read the answer")?;
        match answer.trim().to_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => Err(NotConfirmed("not confirmed".into()).into()),
        }
    }
}
