//! The live view, drawn: all accounts, and the selected one with its quotas and hours. Drawing is a
//! function of what was seen.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Bar, BarChart, BarGroup, Block, Paragraph, Row, Table, TableState, Wrap};
use spillway_core::load::Headroom;
use spillway_core::status::State;
use spillway_core::time::Timestamp;
use spillway_service::admin::overview::Overview;
use spillway_service::admin::{Several, Unreadable};

use super::text;
use super::whole::Whole;
use crate::exit::Unread;
use crate::output::{self, GAP, broken, counted, fitting};

/// What is on the screen.
pub(super) struct Screen {
    /// What was seen last.
    pub(super) overviews: Vec<Overview>,
    /// The deployment as a whole, then.
    pub(super) whole: Whole,
    /// The line that is selected.
    pub(super) selected: usize,
    /// What went wrong with the last look, if something did.
    pub(super) failed: Option<String>,
    /// Now.
    pub(super) now: Timestamp,
}

impl Screen {
    /// Shows what was seen at `now`.
    pub(super) fn of(overviews: Several<Overview>, whole: Whole, now: Timestamp) -> Self {
        let Several { read: overviews, unreadable } = overviews;
        let failed = unread(unreadable);
        Self { overviews, whole, selected: 0, failed, now }
    }

    /// Selects the line `by` further on.
    pub(super) fn select(&mut self, by: isize) {
        let last = self.overviews.len().saturating_sub(1);
        self.selected = self.selected.saturating_add_signed(by).min(last);
    }

    /// Takes in what was seen; the selected account stays so.
    pub(super) fn saw(&mut self, overviews: Several<Overview>, whole: Whole) {
        let account = self.overviews.get(self.selected).map(|overview| overview.account.clone());
        *self = Self::of(overviews, whole, self.now);
        let is_selected = |overview: &Overview| Some(&overview.account) == account.as_ref();
        self.selected = self.overviews.iter().position(is_selected).unwrap_or(0);
    }
}

/// What is said of accounts that cannot be read, if there are some.
fn unread(unreadable: Vec<Unreadable>) -> Option<String> {
    Unread::check(unreadable).err().map(|unread| unread.to_string())
}

/// Red is only where somebody has to do something.
fn colour(state: State, needs_somebody: bool) -> Color {
    match (state, needs_somebody) {
        (State::Healthy, false) => Color::Green,
        (State::Healthy, true) | (_, false) => Color::Yellow,
        (_, true) => Color::Red,
    }
}

/// The most lines that the foot takes.
const FOOT_MAX: usize = 6;

/// Draws it.
pub(super) fn draw(frame: &mut Frame<'_>, screen: &Screen) {
    let width = usize::from(frame.area().width);
    let told = screen.whole.lines(screen.now);
    let of_whole = told.iter().flat_map(|told| {
        let style: Style =
            if told.is_warning { Color::Yellow.into() } else { Modifier::DIM.into() };
        broken(&told.line, width).into_iter().map(move |line| Line::styled(line, style))
    });
    let of_whole: Vec<Line<'_>> = of_whole.take(FOOT_MAX).collect();
    let below_list = Constraint::Length(u16::try_from(of_whole.len()).unwrap_or(u16::MAX));
    let (foot_text, style) = match &screen.failed {
        Some(error) => (error.as_str(), Style::new().fg(Color::Red)),
        None => ("↑↓ account   r look now   q quit", Modifier::DIM.into()),
    };
    let foot_lines = foot_text.lines().flat_map(|line| broken(line, width)).map(Line::raw);
    let foot_lines: Vec<Line<'_>> = foot_lines.take(FOOT_MAX).collect();
    let of_foot = Constraint::Length(u16::try_from(foot_lines.len()).unwrap_or(u16::MAX));
    let [above, whole, foot] =
        Layout::vertical([Constraint::Min(0), below_list, of_foot]).areas(frame.area());
    frame.render_widget(Paragraph::new(of_whole), whole);
    let lines = u16::try_from(screen.overviews.len()).unwrap_or(u16::MAX).saturating_add(3);
    // The list always has room for an account; the rest of it gives way to the details.
    let most = above.height.saturating_sub(12).max(4);
    let [list, detail] =
        Layout::vertical([Constraint::Max(lines.clamp(4, most)), Constraint::Fill(1)]).areas(above);
    draw_list(frame, screen, list);
    if let Some(overview) = screen.overviews.get(screen.selected) {
        draw_one(frame, overview, screen.now, detail);
    }
    frame.render_widget(Paragraph::new(foot_lines).style(style), foot);
}

fn draw_list(frame: &mut Frame<'_>, screen: &Screen, area: Rect) {
    let title = format!(" {} ", counted(screen.overviews.len(), "account"));
    let block = Block::bordered().title(title);
    let cells: Vec<[String; text::COLUMNS]> =
        screen.overviews.iter().map(|overview| text::cells(overview, screen.now)).collect();
    let columns = columns_in(&cells, block.inner(area).width.into());
    let rows = screen.overviews.iter().zip(&cells).map(|(overview, cells)| {
        let style = Style::new().fg(colour(overview.state(), overview.needs_somebody()));
        let cells = columns.iter().map(|&(column, width)| middle(&cells[column], width));
        Row::new(cells).style(style)
    });
    let widths = columns
        .iter()
        .map(|&(_, width)| Constraint::Length(u16::try_from(width).unwrap_or(u16::MAX)));
    let head = columns.iter().map(|&(column, _)| text::LIST.heads[column]);
    let table = Table::new(rows, widths)
        .header(Row::new(head).style(Modifier::DIM))
        .column_spacing(GAP as u16)
        .row_highlight_style(Modifier::REVERSED)
        .block(block);
    let mut selected = TableState::new().with_selected(Some(screen.selected));
    frame.render_stateful_widget(table, area, &mut selected);
}

/// The columns that fit into `width` cells, each with its own width. The first to go are those that
/// matter least; of the last one the first, the account's, is made shorter.
fn columns_in(cells: &[[String; text::COLUMNS]], width: usize) -> Vec<(usize, usize)> {
    let width_of = |column: usize| {
        let cells = cells.iter().map(|row| output::cells(&row[column]));
        cells.chain([text::LIST.heads[column].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..text::COLUMNS).map(width_of).collect();
    let kept = fitting(&widths, text::LIST.least_first, width);
    let total: usize = kept.iter().map(|&column| widths[column] + GAP).sum();
    let mut columns: Vec<(usize, usize)> =
        kept.into_iter().map(|column| (column, widths[column])).collect();
    let over = total.saturating_sub(GAP).saturating_sub(width);
    columns[0].1 = columns[0].1.saturating_sub(over).max(1);
    columns
}

/// A text in `width` cells: what is too long loses its middle, so that ids that begin alike still
/// differ.
fn middle(text: &str, width: usize) -> String {
    let chars: Vec<char> = text.chars().collect();
    if chars.len() <= width {
        return text.to_owned();
    }
    let (head, tail) = (width.saturating_sub(1) / 2, width.saturating_sub(1).div_ceil(2));
    let head: String = chars[..head].iter().collect();
    let tail: String = chars[chars.len() - tail..].iter().collect();
    format!("{head}…{tail}")
}

fn draw_one(frame: &mut Frame<'_>, overview: &Overview, now: Timestamp, area: Rect) {
    let times = text::times(overview, now);
    let lines = u16::try_from(overview.conditions.len()).unwrap_or(u16::MAX).saturating_mul(2);
    let errors = u16::from(overview.calls.server_errors > 0) * 2;
    let [why, below] =
        Layout::vertical([Constraint::Max(lines + errors + 2), Constraint::Min(9)]).areas(area);
    let [quotas, hours] =
        Layout::horizontal([Constraint::Length(44), Constraint::Min(20)]).areas(below);
    let conditions = overview.conditions.iter().map(|condition| {
        let state = Span::styled(
            condition.state.to_string(),
            colour(condition.state, condition.needs_somebody()),
        );
        Line::from(vec![
            state,
            Span::raw(format!(": {}", text::told(condition, &overview.account, &times))),
        ])
    });
    let server_errors = (overview.calls.server_errors > 0)
        .then(|| Line::styled(text::server_errors(overview, &times), Color::Yellow));
    let title = format!(
        " {}, tier {}, profile {} ",
        overview.account,
        u8::from(overview.tier),
        overview.profile
    );
    let paragraph = Paragraph::new(conditions.chain(server_errors).collect::<Vec<_>>())
        .wrap(Wrap { trim: true });
    frame.render_widget(paragraph.block(Block::bordered().title(title)), why);
    draw_quotas(frame, overview, quotas);
    draw_hours(frame, overview, hours);
}

fn draw_quotas(frame: &mut Frame<'_>, overview: &Overview, area: Rect) {
    let block = Block::bordered().title(" used of each quota ");
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let label = |row: &Headroom| format!("{} {}/{}", row.quota, row.used, row.limit);
    let labels: Vec<String> = overview.headroom.iter().map(label).collect();
    // Beside its bar: on it, a label hides how long the bar is.
    let longest = labels.iter().map(|label| output::cells(label)).max().unwrap_or(0);
    let longest = u16::try_from(longest).unwrap_or(u16::MAX).min(inner.width.saturating_sub(6));
    let columns = Layout::horizontal([Constraint::Length(longest), Constraint::Min(0)]).spacing(1);
    let rows = Layout::vertical(vec![Constraint::Length(1); overview.headroom.len()]).split(inner);
    for ((headroom, label), &line) in overview.headroom.iter().zip(labels).zip(rows.iter()) {
        let [beside, bar] = columns.areas(line);
        frame.render_widget(Line::raw(middle(&label, longest.into())), beside);
        let full = text::bar(headroom, bar.width.into());
        frame.render_widget(Line::styled(full, Color::Cyan), bar);
    }
}

/// DMs by the hour: those that were sent, and those that are planned.
fn draw_hours(frame: &mut Frame<'_>, overview: &Overview, area: Rect) {
    let most = text::most(overview);
    let bar = |&count: &u32, colour: Color| {
        Bar::default().value(count.into()).text_value(String::new()).style(Style::new().fg(colour))
    };
    let past = overview.sent_by_hour.unwrap_or_default();
    let past: Vec<Bar<'_>> = past.iter().map(|count| bar(count, Color::DarkGray)).collect();
    let planned: Vec<Bar<'_>> =
        overview.planned_by_hour.iter().map(|count| bar(count, Color::Green)).collect();
    let chart = BarChart::default()
        .bar_width(1)
        .bar_gap(0)
        .group_gap(1)
        .max(most.into())
        .data(BarGroup::default().bars(&past).label(Line::from("24 h back")))
        .data(BarGroup::default().bars(&planned).label(Line::from("24 h ahead")))
        .block(Block::bordered().title(format!(" DMs an hour, at most {most} ")));
    frame.render_widget(chart, area);
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use spillway_core::answers::Tally;
    use spillway_core::forecast::Outlook;
    use spillway_core::hold::HoldCause;
    use spillway_core::quota::{QuotaId, Tier};
    use spillway_core::status::{Condition, Next, Why};
    use spillway_core::upkeep::TokenLife;
    use spillway_service::admin::dead_letters::DeadLetterCount;
    use spillway_service::admin::overview::{Backlog, LaneBacklog};
    use spillway_service::admin::reception::{Reception, ReceptionView};

    use spillway_core::active_hours::Zone;

    use super::*;
    use crate::status::dead_letters::DeadLettersView;

    const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);
    const HOUR: Duration = Duration::from_secs(3600);

    fn overview(account: &str, condition: Condition) -> Overview {
        let quota = |name: &str, used, limit| Headroom {
            quota: QuotaId::new(name),
            limit: NonZeroU32::new(limit).unwrap(),
            used,
            fits_at: NOW,
        };
        let mut backlog = Backlog::default();
        backlog.lanes[1] = LaneBacklog { queued: 30, parked: 970 };
        let mut sent = [0; 24];
        (sent[22], sent[23]) = (100, 196);
        Overview {
            account: account.into(),
            seen_at: NOW,
            tier: Tier::Two,
            time_zone: Zone::UTC,
            profile: "careful".into(),
            conditions: vec![condition],
            headroom: vec![quota("calls_hour", 198, 200), quota("messages_day", 296, 10_000)],
            backlog,
            by_campaign: Vec::new(),
            stuck: 0,
            next_at: Some(NOW + Duration::from_secs(18)),
            last_at: Some(NOW + 5 * HOUR),
            outlook: Some(Outlook { seen_at: NOW, waiting: 970, late: 3, last: NOW + 5 * HOUR }),
            token: TokenLife { obtained_at: None, ends_at: Some(NOW + 30 * 24 * HOUR) },
            last_seen: Some(NOW - HOUR),
            calls: Tally { calls: 721, server_errors: 216 },
            calls_since: NOW - HOUR,
            outside: Vec::new(),
            last_refusal: None,
            human_until: None,
            sent_by_hour: Some(sent),
            planned_by_hour: [98; 24],
        }
    }

    fn screen() -> Screen {
        let held = Condition {
            state: State::Held,
            since: Some(NOW - HOUR),
            why: Why::Answer(HoldCause::Throttled),
            next: Next::Probe(NOW + HOUR),
        };
        let healthy =
            Condition { state: State::Healthy, since: None, why: Why::Nothing, next: Next::GoesOn };
        let overviews = vec![overview("1784", held), overview("1785", healthy)];
        Screen::of(several(overviews), whole(0), NOW)
    }

    /// With so many dead letters.
    fn whole(messages: u64) -> Whole {
        let oldest_at = (messages > 0).then_some(NOW - HOUR);
        let dead_letters = DeadLettersView::Known(DeadLetterCount { messages, oldest_at });
        let reception = ReceptionView::Known(Reception {
            since: NOW - 3 * HOUR,
            last_at: Some(NOW - Duration::from_secs(120)),
            last_lag_s: Some(2),
            highest_lag_s: Some(300),
            deliveries: 42,
            bad_signatures: 0,
            duplicates: 5,
        });
        Whole { dead_letters, schedule_dead_letters: None, reception }
    }

    fn several(read: Vec<Overview>) -> Several<Overview> {
        Several { read, unreadable: Vec::new() }
    }

    fn drawn(screen: &Screen) -> String {
        drawn_on(screen, 140)
    }

    fn drawn_on(screen: &Screen, width: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, 30)).unwrap();
        terminal.draw(|frame| draw(frame, screen)).unwrap();
        let cells = terminal.backend().buffer().content();
        let line = |cells: &[ratatui::buffer::Cell]| {
            cells.iter().map(|cell| cell.symbol()).collect::<String>().trim_end().to_owned()
        };
        cells.chunks(width.into()).map(line).collect::<Vec<_>>().join("\n") + "\n"
    }

    #[test]
    fn the_view_shows_all_accounts_and_the_selected_one() {
        insta::assert_snapshot!("view", drawn(&screen()));
    }

    #[test]
    fn red_is_only_where_somebody_has_to_act() {
        let has_red = |condition: Condition| {
            let mut screen = screen();
            screen.overviews = vec![overview("1784", condition)];
            let mut terminal = Terminal::new(TestBackend::new(140, 30)).unwrap();
            terminal.draw(|frame| draw(frame, &screen)).unwrap();
            terminal.backend().buffer().content().iter().any(|cell| cell.fg == Color::Red)
        };
        let of = |state, why, next| Condition { state, since: None, why, next };
        let [held, healthy] = [0, 1].map(|nth| screen().overviews[nth].conditions[0].clone());
        let by_hand = of(State::Held, Why::ByHand(None), Next::Stopped);
        assert_eq!([healthy, held, by_hand].map(has_red), [false, false, true]);
    }

    #[test]
    fn where_there_is_little_room_columns_go_and_ids_still_differ() {
        let mut screen = screen();
        screen.overviews[0].account = "17841400000000001".into();
        screen.overviews[1].account = "17841400000000002".into();
        let narrow = drawn_on(&screen, 80);
        assert!(narrow.contains("17841400000000001  held"), "{narrow}");
        assert!(narrow.contains("NEXT DM") && !narrow.contains("HEARD"), "{narrow}");
        let narrowest = drawn_on(&screen, 20);
        assert!(narrowest.contains("1784…0001  held"), "{narrowest}");
        assert!(narrowest.contains("1784…0002  healthy"), "{narrowest}");
        assert_eq!([9, 4, 1].map(|width| middle("17841400", width)), ["17841400", "1…00", "…"]);
    }

    #[test]
    fn the_selected_account_stays_so_when_the_order_changes() {
        let mut screen = screen();
        screen.select(5);
        assert_eq!(screen.selected, 1);
        let mut again = screen.overviews.clone();
        again.reverse();
        screen.saw(several(again), whole(3));
        let line = "dead letters: about 3, the oldest of 1 h 0 min ago (`spillway dlq list`)";
        assert!(drawn(&screen).contains(line), "{}", drawn(&screen));
        assert_eq!(screen.overviews[screen.selected].account.as_str(), "1785");
        screen.select(-3);
        assert_eq!(screen.selected, 0);
    }

    #[test]
    fn the_foot_tells_all_of_what_went_wrong() {
        let mut screen = screen();
        screen.failed = Some("the last look failed: ".to_owned() + &"the table is slow ".repeat(9));
        let narrow = drawn_on(&screen, 60);
        assert_eq!(narrow.matches("slow").count(), 9, "{narrow}");
        let unreadable = vec![Unreadable { account: "1786".into(), why: "no tier".into() }];
        let overviews = Several { read: screen.overviews.clone(), unreadable };
        screen.saw(overviews, whole(0));
        assert!(drawn(&screen).contains("account 1786: no tier: "), "{}", drawn(&screen));
        assert!(drawn(&screen).contains("connect it again"), "{}", drawn(&screen));
    }
}
