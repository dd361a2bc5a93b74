//! The loop around the state machine: reads keys, asks the daemon, draws.
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::app::{App, Event, Polled, Request};
use super::change::Deed;
use super::draw::{self, Looks};
use super::screen::{Keys, Screen};
use crate::adapters::client::{Client, ClientError, TopRequest};
use crate::causes::chain;
use crate::cli::TopArgs;
use crate::domain::decision::Kind;
use crate::render::{self, Style};

/// Rows that are asked for.
const ROWS: u32 = 500;
/// From one question to the next.
const PAUSE: Duration = Duration::from_secs(1);

/// Shows the screen until it is left.
///
/// # Errors
/// Where no daemon answers at first, or the terminal fails.
pub(super) fn run(client: &Client, args: &TopArgs, style: Style) -> Result<()> {
    client.wait_for(async {
        // Who is not there at all is better told of in a line than on a screen.
        client.status_live().await?;
        let mut ends = Ends::new()?;
        let mut screen = Screen::open().context("take the terminal")?;
        let mut keys = Keys::read().context("read the terminal")?;
        let size = screen.size().context("ask the terminal for its size")?;
        let app = App::new(size, args.n.unwrap_or(ROWS), args.by, args.group, &args.filter);
        live(client, app, Looks::new(style), &mut screen, &mut keys, &mut ends).await
    })
}

/// Signals that end the screen.
struct Ends {
    terminate: Signal,
    hang_up: Signal,
    interrupt: Signal,
}

impl Ends {
    fn new() -> Result<Self> {
        let of = |kind| signal(kind).context("listen for signals");
        let (terminate, hang_up) = (of(SignalKind::terminate())?, of(SignalKind::hangup())?);
        Ok(Self { terminate, hang_up, interrupt: of(SignalKind::interrupt())? })
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// A question that is under way.
type Asked<'a> = Option<Pin<Box<dyn Future<Output = Event> + 'a>>>;

async fn live(
    client: &Client,
    mut app: App,
    looks: Looks,
    screen: &mut Screen,
    keys: &mut Keys,
    ends: &mut Ends,
) -> Result<()> {
    let start = Instant::now();
    let mut seconds = interval(PAUSE);
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut polled, mut asked): (Asked<'_>, Asked<'_>) = (None, None);
    loop {
        screen.draw(|frame| draw::draw(&app, looks, frame)).context("write to the terminal")?;
        let event = tokio::select! {
            () = ends.any() => return Ok(()),
            event = keys.next() => event.context("read the terminal")?,
            _ = seconds.tick() => Event::Tick(start.elapsed()),
            event = answer(&mut polled) => event,
            event = answer(&mut asked) => event,
        };
        match app.update(event) {
            None => {}
            Some(Request::Quit) => return Ok(()),
            Some(Request::Poll(rows)) => polled = Some(Box::pin(poll(client, rows, start))),
            Some(Request::Explain(address)) => asked = Some(Box::pin(explain(client, address))),
            Some(Request::Change(deed, change)) => {
                asked = Some(Box::pin(async move {
                    let report = match deed {
                        Deed::Block => client.add_live(Kind::Deny, &change).await,
                        Deed::Unblock => client.remove_live(Kind::Deny, &change).await,
                    };
                    Event::Changed(report.map_err(|error| refusal(&error)))
                }));
            }
        }
    }
}

/// The answer to what is under way; never, where nothing is.
async fn answer(asked: &mut Asked<'_>) -> Event {
    let Some(question) = asked else { return std::future::pending().await };
    let event = question.await;
    *asked = None;
    event
}

async fn poll(client: &Client, rows: Option<TopRequest>, start: Instant) -> Event {
    let status = async { (client.status_live().await, start.elapsed()) };
    let top = async {
        match &rows {
            Some(rows) => client.top_live(rows).await.map(Some),
            None => Ok(None),
        }
    };
    // Side by side: the rows take half a second to measure.
    let ((status, at), top) = tokio::join!(status, top);
    let polled = status.and_then(|status| Ok(Box::new(Polled { status, top: top? })));
    Event::Polled(at, polled.map_err(|error| chain(&error)))
}

async fn explain(client: &Client, address: std::net::IpAddr) -> Event {
    let explained = client.explain_live(address).await.map_err(|error| refusal(&error));
    let lines = explained.and_then(|explain| {
        let mut text = String::new();
        render::explain::explain(&explain, Timestamp::now(), Style::Plain, &mut text)
            .map_err(|error| error.to_string())?;
        Ok(text.lines().map(str::to_owned).collect())
    });
    Event::Explained(address, lines.map_err(|why| render::plain::line(&why).into_owned()))
}

/// Why the daemon did not do it, and whom it would have hit.
fn refusal(error: &ClientError) -> String {
    let mut text = chain(error);
    for hit in error.problem().map_or(&[][..], |problem| &problem.hits) {
        let line = format!("\n  {} ({})", hit.prefix, hit.why);
        // The daemon's own words may name it already.
        if !text.contains(&hit.prefix.to_string()) {
            text.push_str(&line);
        }
    }
    text
}
