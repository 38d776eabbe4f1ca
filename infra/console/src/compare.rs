//! What an accounts file would change, before it is applied. It is applied by the operator's tool alone.

use axum::Extension;
use axum::extract::State as Given;
use axum::response::Response;
use maud::{Markup, html};
use serde_json::json;
use spillway_core::profile::Profile;
use spillway_service::accounts_file::{self, Mistake};
use spillway_service::admin::campaigns::{ChangeView, PlanView, Planned};
use spillway_service::admin::plan::{FieldChange, Unnamed};

use crate::Console;
use crate::answer::{Asked, Fault};
use crate::layout::{self, Frame, address, token};
use crate::router::Served;

/// What a file comes to: its changes, or why it cannot be applied.
type Compared = Result<Vec<PlanView>, Vec<String>>;

/// Shows the form.
pub(crate) async fn ask(
    Given(console): Served,
    Extension(asked): Extension<Asked>,
) -> Result<Response, Fault> {
    Ok(asked.answer(|| json!({}), || page(&console, "", None)))
}

/// Shows what the file of the form would change.
pub(crate) async fn compare(
    Given(console): Served,
    Extension(asked): Extension<Asked>,
) -> Result<Response, Fault> {
    let text = asked.form.get("file").unwrap_or_default();
    let compared = compared(&console, text).await?;
    let json = || match &compared {
        Ok(accounts) => json!({ "changed": false, "accounts": accounts }),
        Err(mistakes) => json!({ "mistakes": mistakes }),
    };
    Ok(asked.answer(json, || page(&console, text, Some(&compared))))
}

async fn compared(console: &Console, text: &str) -> Result<Compared, Fault> {
    let told =
        |mistakes: &[Mistake]| mistakes.iter().map(ToString::to_string).collect::<Vec<String>>();
    let wanted = match accounts_file::parse(text, &Profile::careful()) {
        Ok(wanted) => wanted,
        Err(error) => return Ok(Err(told(&error.mistakes))),
    };
    let (planned, mistakes) = console.admin().accounts.plans(&wanted, Unnamed::Stay).await?;
    if !mistakes.is_empty() {
        return Ok(Err(told(&mistakes)));
    }
    Ok(Ok(planned.iter().map(Planned::view).collect()))
}

fn page(console: &Console, text: &str, compared: Option<&Compared>) -> Markup {
    let frame = Frame { title: "Compare a file", ..Frame::default() };
    let body = html! {
        p { "What would an accounts file change? Nothing is applied here: " code { "spillway campaign apply" }
            " does that." }
        @match compared {
            Some(Ok(accounts)) => { @for account in accounts { (changes(account)) } }
            Some(Err(mistakes)) => {
                section.card role="status" {
                    h2 { "The file cannot be applied" }
                    ul { @for mistake in mistakes { li { (mistake) } } }
                }
            }
            None => {}
        }
        form method="post" action="/compare" {
            (token(console))
            p { label for="file" { "The file (TOML)" } }
            p { textarea id="file" name="file" rows="16" spellcheck="false" required { (text) } }
            p { button { "Compare" } }
        }
    };
    layout::page(console, &frame, &body)
}

fn changes(view: &PlanView) -> Markup {
    let is_same = view.campaigns.iter().all(|one| matches!(one.change, "same" | "left"));
    html! {
        section.card role="status" {
            h2 { a href={ (address(&view.account)) "/campaigns" } { "Account " (view.account) } }
            @if is_same && view.settings.is_empty() && !view.reordered { p { strong.good { "Nothing changes." } } }
            (fields("The account itself", &view.settings))
            @for change in &view.campaigns { (campaign(change)) }
            @if view.reordered { p { "Its campaigns are asked in another order." } }
        }
    }
}

fn campaign(view: &ChangeView) -> Markup {
    let said = match view.change {
        "added" => "is new",
        "changed" => "changes",
        "same" => "stays as it is",
        "left" => "stays; the file does not name it",
        other => other,
    };
    let title = format!("Campaign {} {said}", view.id);
    html! {
        @if view.fields.is_empty() { p { (title) "." } } @else { (fields(&title, &view.fields)) }
    }
}

fn fields(title: &str, fields: &[FieldChange]) -> Markup {
    html! {
        @if !fields.is_empty() {
            h3 { (title) }
            dl.facts {
                @for field in fields {
                    dt { (field.name) }
                    dd { del { (field.before) } " → " ins { (field.after) } }
                }
            }
        }
    }
}
