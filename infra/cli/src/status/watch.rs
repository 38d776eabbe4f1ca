//! The live view: looks again and again, and listens to keys in between.

use std::time::Duration;

use anyhow::{Context, Result};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use spillway_core::id::AccountId;
use tokio::time::{Instant, sleep_until};

use super::screen::{Screen, draw};
use super::whole::Whole;
use super::{accounts, look, look_once};
use crate::deployment::Deployment;

/// How often keys are looked for.
const KEYS_EVERY: Duration = Duration::from_millis(50);

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Select(isize),
    Look,
    Quit,
}

/// Shows the view until it is quit.
pub(super) async fn run(
    deployment: &Deployment,
    only: Option<&AccountId>,
    every: Duration,
) -> Result<()> {
    // Before the terminal is taken over: what is wrong from the start is said on it.
    let overviews = look_once(deployment, only).await?;
    let whole = Whole::look(deployment).await;
    let mut screen = Screen::of(overviews, whole, deployment.clock.now());
    let mut terminal = ratatui::try_init().context("draw on the terminal")?;
    let result = turn(&mut terminal, deployment, only, every, &mut screen).await;
    ratatui::restore();
    result
}

async fn turn(
    terminal: &mut ratatui::DefaultTerminal,
    deployment: &Deployment,
    only: Option<&AccountId>,
    every: Duration,
    screen: &mut Screen,
) -> Result<()> {
    let mut next_look = Instant::now() + every;
    loop {
        screen.now = deployment.clock.now();
        terminal.draw(|frame| draw(frame, screen))?;
        let looking = async {
            let accounts = accounts(deployment, only).await?;
            let overviews = look(deployment, only, &accounts, |_| ()).await?;
            anyhow::Ok((overviews, Whole::look(deployment).await))
        };
        tokio::pin!(looking);
        let mut is_looking = false;
        loop {
            let keys_at = Instant::now() + KEYS_EVERY;
            tokio::select! {
                seen = &mut looking, if is_looking => {
                    match seen {
                        Ok((overviews, whole)) => screen.saw(overviews, whole),
                        Err(error) => screen.failed = Some(format!("the last look failed: {error:#}")),
                    }
                    next_look = Instant::now() + every;
                    break;
                }
                () = sleep_until(keys_at) => {}
            }
            is_looking |= Instant::now() >= next_look;
            let mut is_changed = false;
            while let Some(wish) = pressed()? {
                match wish {
                    Wish::Quit => return Ok(()),
                    Wish::Look => is_looking = true,
                    Wish::Select(by) => screen.select(by),
                }
                is_changed = true;
            }
            if is_changed {
                terminal.draw(|frame| draw(frame, screen))?;
            }
        }
    }
}

/// What was pressed, if anything was.
fn pressed() -> Result<Option<Wish>> {
    while event::poll(Duration::ZERO)? {
        let Event::Key(key) = event::read()? else { return Ok(Some(Wish::Select(0))) };
        if key.kind != KeyEventKind::Press {
            continue;
        }
        let wish = match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Wish::Quit,
            KeyCode::Char('q') | KeyCode::Esc => Wish::Quit,
            KeyCode::Char('r') => Wish::Look,
            KeyCode::Up | KeyCode::Char('k') => Wish::Select(-1),
            KeyCode::Down | KeyCode::Char('j') => Wish::Select(1),
            _ => continue,
        };
        return Ok(Some(wish));
    }
    Ok(None)
}
