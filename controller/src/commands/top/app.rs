//! The state of the screen, and what each event makes of it. Nothing here reads, writes, asks or waits.
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::change::{Change, Deed, Outcome, type_into};
use super::draw::layout;
use super::meter::Meter;
use super::popup::{Explanation, HELP, Popup, Scroll};
use super::table::{Line, Place, sort};
use super::view::View;
use crate::adapters::client::TopRequest;
use crate::domain::report::{ChangeReport, ChangeRequest, Status, TopBy, TopGroup, TopReport};
use crate::domain::top::filter::{Filter, LONGEST};

/// Something that happened.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// A key was pressed.
    Key(KeyEvent),
    /// The terminal has this many columns and lines.
    Size(u16, u16),
    /// A second is over; so long after the start.
    Tick(Duration),
    /// The daemon said how things are, or did not, and why; so long after the start.
    Polled(Duration, Result<Box<Polled>, String>),
    /// The daemon explained an address, in lines that are safe to print, or did not, and why.
    Explained(IpAddr, Result<Vec<String>, String>),
    /// The daemon changed or tried something, or did not, and why.
    Changed(Result<ChangeReport, String>),
}

/// How things are.
#[derive(Clone, Debug)]
pub(super) struct Polled {
    /// The state.
    pub(super) status: Status,
    /// The rows that were asked for.
    pub(super) top: Option<TopReport>,
}

/// Something the loop is to do. A later one of a kind takes the place of an earlier one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// Ask the daemon how things are, and for rows.
    Poll(Option<TopRequest>),
    /// Ask it to explain.
    Explain(IpAddr),
    /// Ask it to change the deny list, or to try.
    Change(Deed, ChangeRequest),
    /// End.
    Quit,
}

/// What the daemon said.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// The state.
    pub(super) status: Option<Status>,
    /// The rows of each group that was looked at.
    pub(super) reports: BTreeMap<TopGroup, TopReport>,
    /// Rates of all traffic.
    pub(super) meter: Meter,
}

/// A daemon that does not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lost {
    /// Since when, after the start.
    pub(super) since: Duration,
    /// Why.
    pub(super) why: String,
}

/// The state of the screen.
#[derive(Clone, Debug)]
pub(super) struct App {
    /// What is looked at.
    pub(super) view: View,
    /// What the daemon said.
    pub(super) known: Known,
    /// The view's lines in order.
    pub(super) lines: Vec<Line>,
    places: Vec<Place>,
    /// Which sources are shown, as it was typed.
    pub(super) filter: String,
    /// Whether it is being typed.
    pub(super) is_typing: bool,
    /// What lies over the table.
    pub(super) popup: Popup,
    /// Whether the screen stands still.
    pub(super) is_paused: bool,
    /// Whether the daemon does not answer.
    pub(super) lost: Option<Lost>,
    /// Something to be told once.
    pub(super) notice: Option<String>,
    /// Time since the start.
    pub(super) now: Duration,
    size: (u16, u16),
    is_polling: bool,
    rows: u32,
}

impl App {
    /// Before anything is known; at most `rows` rows are asked for.
    pub(super) fn new(size: (u16, u16), rows: u32, by: TopBy, group: TopGroup, filter: &str) -> Self {
        let place = |view: &View| Place { sort: view.first_sort(by), ..Place::default() };
        Self {
            view: View::of(group),
            known: Known::default(),
            lines: Vec::new(),
            places: View::ALL.iter().map(place).collect(),
            filter: filter.chars().take(LONGEST).collect(),
            is_typing: false,
            popup: Popup::None,
            is_paused: false,
            lost: None,
            notice: None,
            now: Duration::ZERO,
            size,
            is_polling: false,
            rows,
        }
    }

    /// Takes an event in; what is to be done about it.
    pub(super) fn update(&mut self, event: Event) -> Option<Request> {
        let request = match event {
            Event::Key(key) => self.key(key),
            Event::Size(columns, lines) => {
                self.size = (columns, lines);
                None
            }
            Event::Tick(now) => {
                self.now = now;
                (!self.is_paused && !self.is_polling).then(|| self.poll())
            }
            Event::Polled(at, answer) => {
                self.polled(at, answer);
                None
            }
            Event::Explained(address, answer) => {
                self.explained(address, answer);
                None
            }
            Event::Changed(answer) => self.changed(answer),
        };
        self.refresh();
        request
    }

    /// Where the view's rows are.
    pub(super) fn place(&self) -> &Place {
        static FIRST: Place = Place { sort: 0, reversed: false, at: 0, key: None, offset: 0 };
        self.places.get(self.view.index()).unwrap_or(&FIRST)
    }

    /// The rows' report, where the daemon made them.
    pub(super) fn report(&self) -> Option<&TopReport> {
        self.known.reports.get(&self.view.group()?)
    }

    fn refresh(&mut self) {
        let filter = Filter::of(&self.filter);
        self.lines = self.view.lines(&self.known, &filter);
        let in_sight = usize::from(layout::areas(self.size.0, self.size.1).rows());
        if let Some(place) = self.places.get_mut(self.view.index()) {
            sort(&mut self.lines, place);
            place.follow(&self.lines, in_sight);
        }
    }

    /// Asks anew: at a tick, and at once where other rows are to be shown, also while the screen stands still.
    fn poll(&mut self) -> Request {
        self.is_polling = true;
        let group = self.view.group();
        let place = self.place();
        let by = self.view.columns().get(place.sort).and_then(|column| column.by).unwrap_or_default();
        Request::Poll(group.map(|group| TopRequest {
            n: self.rows,
            by,
            reversed: place.reversed,
            group,
            filter: self.filter.trim().to_owned(),
        }))
    }

    fn polled(&mut self, at: Duration, answer: Result<Box<Polled>, String>) {
        // The screen stands still, and this was asked before.
        if self.is_paused && !self.is_polling {
            return;
        }
        self.is_polling = false;
        match answer {
            Ok(polled) => {
                self.lost = None;
                self.known.meter.take(at, &polled.status);
                self.known.status = Some(polled.status);
                if let Some(top) = polled.top {
                    self.known.reports.insert(top.group, top);
                }
            }
            Err(why) => {
                let since = self.lost.as_ref().map_or(at, |lost| lost.since);
                self.lost = Some(Lost { since, why });
            }
        }
    }

    fn explained(&mut self, address: IpAddr, answer: Result<Vec<String>, String>) {
        if let Popup::Explain(explanation) = &mut self.popup
            && explanation.of.addr() == address
        {
            explanation.lines = Some(answer.unwrap_or_else(|why| vec![why]));
        }
    }

    fn changed(&mut self, answer: Result<ChangeReport, String>) -> Option<Request> {
        let Popup::Change(change) = &mut self.popup else { return None };
        let done = change.answered(answer)?;
        self.popup = Popup::None;
        self.notice = Some(done);
        Some(self.poll())
    }

    fn key(&mut self, key: KeyEvent) -> Option<Request> {
        self.notice = None;
        if key.code == KeyCode::Char('c') && key.modifiers == KeyModifiers::CONTROL {
            return Some(Request::Quit);
        }
        let page = layout::areas(self.size.0, self.size.1).rows();
        match &mut self.popup {
            Popup::Change(change) => match change.key(key) {
                Outcome::Open(request) => request,
                Outcome::Left => self.close(),
            },
            Popup::Help(_) | Popup::Explain(_) if matches!(key.code, KeyCode::Esc | KeyCode::Enter) => self.close(),
            Popup::Help(_) | Popup::Explain(_) if key.code == KeyCode::Char('q') => self.close(),
            Popup::Help(scroll) => {
                scroll.key(key, page, HELP.len(), HELP.iter().map(|line| line.len()).max().unwrap_or(0));
                None
            }
            Popup::Explain(explanation) => {
                let text = explanation.text();
                let wide = text.iter().map(|line| line.chars().count()).max().unwrap_or(0);
                explanation.scroll.key(key, page, text.len(), wide);
                None
            }
            Popup::None if self.is_typing => self.typed(key),
            Popup::None => self.pressed(key, usize::from(page.max(1))),
        }
    }

    fn close(&mut self) -> Option<Request> {
        self.popup = Popup::None;
        None
    }

    fn typed(&mut self, key: KeyEvent) -> Option<Request> {
        match key.code {
            KeyCode::Enter => self.is_typing = false,
            KeyCode::Esc => {
                self.is_typing = false;
                return self.show(String::new());
            }
            _ => {
                let mut filter = self.filter.clone();
                type_into(&mut filter, LONGEST, key);
                return self.show(filter);
            }
        }
        None
    }

    /// Shows only what a filter takes.
    fn show(&mut self, filter: String) -> Option<Request> {
        if self.filter == filter {
            return None;
        }
        self.filter = filter;
        Some(self.poll())
    }

    fn pressed(&mut self, key: KeyEvent, page: usize) -> Option<Request> {
        // With Ctrl or Alt a letter is another key.
        if !(key.modifiers - KeyModifiers::SHIFT).is_empty() {
            return None;
        }
        match key.code {
            KeyCode::Char('q') => return Some(Request::Quit),
            KeyCode::Char('?') => self.popup = Popup::Help(Scroll::default()),
            KeyCode::Char('/') => self.is_typing = true,
            KeyCode::Esc => return self.show(String::new()),
            KeyCode::Char(' ') => return self.pause(),
            KeyCode::Tab => return self.look_at(self.view.index() + 1),
            KeyCode::BackTab => return self.look_at(self.view.index() + View::ALL.len() - 1),
            KeyCode::Char(digit @ '1'..='9') => {
                let wanted = digit.to_digit(10).and_then(|digit| usize::try_from(digit).ok()).unwrap_or(1) - 1;
                return if wanted < View::ALL.len() { self.look_at(wanted) } else { None };
            }
            KeyCode::Up | KeyCode::Char('k') => self.move_to(|at, _| at.saturating_sub(1)),
            KeyCode::Down | KeyCode::Char('j') => self.move_to(|at, _| at + 1),
            KeyCode::PageUp => self.move_to(|at, _| at.saturating_sub(page)),
            KeyCode::PageDown => self.move_to(|at, _| at + page),
            KeyCode::Home => self.move_to(|_, _| 0),
            KeyCode::End => self.move_to(|_, count| count),
            KeyCode::Char('s') => return self.sort_by(|sort, _| sort + 1),
            KeyCode::Char('S') => return self.sort_by(|sort, count| sort + count - 1),
            KeyCode::Char('r') => return self.sort_by(|sort, _| sort),
            KeyCode::Char('e') | KeyCode::Enter => return self.explain(),
            KeyCode::Char('b') => return self.block(),
            KeyCode::Char('u') => return self.unblock(),
            KeyCode::Char(letter @ 'A'..='Z') => {
                let wanted = self.view.columns().iter().position(|column| column.letter == letter)?;
                return self.sort_by(|_, _| wanted);
            }
            _ => {}
        }
        None
    }

    fn pause(&mut self) -> Option<Request> {
        self.is_paused = !self.is_paused;
        if self.is_paused {
            self.known.meter.pause();
            self.is_polling = false;
            return None;
        }
        Some(self.poll())
    }

    fn look_at(&mut self, index: usize) -> Option<Request> {
        let view = *View::ALL.get(index % View::ALL.len())?;
        if view == self.view {
            return None;
        }
        self.view = view;
        Some(self.poll())
    }

    fn move_to(&mut self, to: impl FnOnce(usize, usize) -> usize) {
        if let Some(place) = self.places.get_mut(self.view.index()) {
            place.choose(to(place.at, self.lines.len()), &self.lines);
        }
    }

    fn sort_by(&mut self, to: impl FnOnce(usize, usize) -> usize) -> Option<Request> {
        let count = self.view.columns().len().max(1);
        let place = self.places.get_mut(self.view.index())?;
        place.sort_by(to(place.sort, count) % count);
        Some(self.poll())
    }

    /// The chosen row.
    fn chosen(&self) -> Option<&Line> {
        self.lines.get(self.place().at)
    }

    fn explain(&mut self) -> Option<Request> {
        let Some(prefix) = self.chosen().and_then(|line| line.prefix) else {
            return self.tell("there is no address here to explain");
        };
        self.popup = Popup::Explain(Explanation { of: prefix, lines: None, scroll: Scroll::default() });
        Some(Request::Explain(prefix.addr()))
    }

    fn block(&mut self) -> Option<Request> {
        let Some(prefix) = self.chosen().and_then(|line| line.prefix) else {
            return self.tell("there is no address here to block; countries are denied in [geo]");
        };
        self.popup = Popup::Change(Change::block(prefix));
        None
    }

    fn unblock(&mut self) -> Option<Request> {
        let Some(prefix) = self.chosen().and_then(|line| line.prefix) else {
            return self.tell("there is no address here to unblock");
        };
        let (change, request) = Change::unblock(prefix);
        self.popup = Popup::Change(change);
        Some(request)
    }

    fn tell(&mut self, what: &str) -> Option<Request> {
        self.notice = Some(what.to_owned());
        None
    }
}
