//! The page over HTTP: one thread, and what it does for whom.
//!
//! | limit | at it |
//! |---|---|
//! | [`ASKED_WITHIN`] for the head of a request | the connection is closed |
//! | [`HEAD_BYTES_MAX`] of it | 431 |
//! | [`TAKEN_WITHIN`](super::stream) for output to be taken | the connection is closed |
//! | a `Host` that is not ours | 421 |
//! | connections and viewers | see [`guests`](super::guests) |

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Query, Request, State};
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Extension, Router};
use hyper::body::Frame as Part;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde::Deserialize;
use socket2::SockRef;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, timeout};

use rpc_runtime::driver::World;

use super::frame;
use super::guests::{Guest, Guests, Viewer, count};
use super::host;
use super::stream::Bounded;
use super::studio::{LOOK_EVERY, Studio};
use crate::desk::Desk;

/// How long the head of a request may take to come, and a connection to be of no use.
pub(super) const ASKED_WITHIN: Duration = Duration::from_secs(5);
/// The longest head of a request, in bytes.
pub(super) const HEAD_BYTES_MAX: usize = 16 << 10;
/// What the system holds of what a viewer does not read, in bytes.
const HELD_BYTES_MAX: usize = 128 << 10;
/// How often viewers are told that the binder is there, while nothing changes.
const BEAT_EVERY: Duration = Duration::from_secs(2);
/// How long nobody is let in when the system has no more descriptors.
const PAUSE: Duration = Duration::from_millis(100);

const CSS: &str = include_str!("assets/page.css");
const SCRIPT: &str = include_str!("assets/page.js");
const ICON: &str = include_str!("assets/favicon.svg");

/// What every answer carries: nothing is loaded from elsewhere, framed, guessed at or kept.
const HEADERS: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Where the page is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The address; with port 0 a free one is taken.
    pub address: SocketAddr,
    /// Names under which it may be asked for, besides `localhost` and addresses.
    pub names: Vec<String>,
}

/// A page that is served; no more once it is dropped.
#[derive(Debug)]
pub struct Page {
    address: SocketAddr,
    _ends: oneshot::Sender<()>,
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    studio: Studio,
    guests: Arc<Guests>,
    names: Vec<String>,
}

impl Page {
    /// Serves the page of the binder at `url`, in a thread of its own.
    ///
    /// # Errors
    ///
    /// The address cannot be used, or there is no thread.
    pub fn open(
        place: &Place,
        desk: Arc<Desk>,
        url: String,
        world: &Arc<dyn World>,
    ) -> io::Result<Self> {
        let cannot =
            |e: io::Error| io::Error::new(e.kind(), format!("no page at {}: {e}", place.address));
        let listener = TcpListener::bind(place.address).map_err(cannot)?;
        listener.set_nonblocking(true)?;
        SockRef::from(&listener).set_send_buffer_size(HELD_BYTES_MAX)?;
        let address = listener.local_addr()?;
        let studio = Studio::open(desk, url, world.unix_ms());
        let shared =
            Arc::new(Shared { studio, guests: Arc::default(), names: place.names.clone() });
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let (ends, ended) = oneshot::channel();
        let body = move || {
            runtime.block_on(async {
                tokio::spawn(run(listener, shared));
                let _either_way = ended.await;
            });
        };
        world.spawn("rpc-binder-page", Box::new(body)).map_err(io::Error::other)?;
        Ok(Self { address, _ends: ends })
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn run(listener: TcpListener, shared: Arc<Shared>) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    tokio::spawn(look(Arc::clone(&shared)));
    let router = router(&shared);
    loop {
        let Ok((stream, _from)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let guest = shared.guests.enter();
        let router = router.clone().layer(Extension(Arc::clone(&guest)));
        let guests = Arc::clone(&shared.guests);
        let connection = tokio::spawn(serve(Bounded::new(stream), router, guests));
        guest.seated(connection.abort_handle());
    }
}

/// Looks at the registry again and again.
async fn look(shared: Arc<Shared>) {
    let mut times = interval(LOOK_EVERY);
    times.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        times.tick().await;
        shared.studio.look();
    }
}

async fn serve(stream: Bounded, router: Router, guests: Arc<Guests>) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(ASKED_WITHIN)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await;
    if served.is_err_and(|error| error.is_timeout() || is_slow(&error)) {
        count(&guests.turned_away.slow);
    }
}

/// Whether somewhere below an error a wait was too long.
fn is_slow(error: &hyper::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(below) = cause {
        if let Some(system) = below.downcast_ref::<io::Error>() {
            return system.kind() == io::ErrorKind::TimedOut;
        }
        cause = below.source();
    }
    false
}

fn router(shared: &Arc<Shared>) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/events", get(events))
        .route("/metrics", get(metrics))
        .route("/healthz", get(health))
        .route("/page.css", get(|| text("text/css; charset=utf-8", CSS)))
        .route("/page.js", get(|| text("text/javascript; charset=utf-8", SCRIPT)))
        .route("/favicon.svg", get(|| text("image/svg+xml", ICON)))
        .fallback(|| async { (StatusCode::NOT_FOUND, "there is nothing here: the page is at /\n") })
        .layer(middleware::from_fn_with_state(Arc::clone(shared), guarded))
        .with_state(Arc::clone(shared))
}

/// Answers only who asked for us, and says what browsers may do with it.
async fn guarded(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let mut answer = if asks_for_us(&request, &shared.names) {
        next.run(request).await
    } else {
        count(&shared.guests.turned_away.host);
        let text = "this page answers to addresses, localhost, and names given by --http-name\n";
        (StatusCode::MISDIRECTED_REQUEST, text).into_response()
    };
    for (name, value) in HEADERS {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

fn asks_for_us(request: &Request, names: &[String]) -> bool {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let of_url = request.uri().authority().map(|authority| authority.as_str());
    let said = host.to_str().ok();
    said.is_some_and(|host| host::is_ours(host, names))
        && of_url.is_none_or(|host| host::is_ours(host, names))
}

async fn text(kind: &'static str, text: impl Into<Body>) -> Response {
    ([(header::CONTENT_TYPE, kind)], text.into()).into_response()
}

async fn page(State(shared): State<Arc<Shared>>) -> Response {
    text("text/html; charset=utf-8", shared.studio.page()).await
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    text(kind, shared.studio.metrics(&shared.guests)).await
}

async fn health(State(shared): State<Arc<Shared>>) -> (StatusCode, String) {
    match shared.studio.desk.trouble() {
        None => (StatusCode::OK, "ok\n".into()),
        Some(trouble) => (StatusCode::SERVICE_UNAVAILABLE, format!("{trouble}\n")),
    }
}

/// The frame that somebody has who begins to look on.
#[derive(Debug, Default, Deserialize)]
struct Known {
    #[serde(default)]
    after: String,
}

/// Frames as they come, as server-sent events (WHATWG HTML, "Server-sent events").
async fn events(
    State(shared): State<Arc<Shared>>,
    Extension(guest): Extension<Arc<Guest>>,
    Query(known): Query<Known>,
    headers: HeaderMap,
) -> Response {
    let Some(viewer) = guest.view() else {
        let text = "too many look on already: try again later\n";
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "5")], text)
            .into_response();
    };
    // A browser that comes again says what it saw last.
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let known = last.map_or(known.after, str::to_owned);
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(tell(shared, known, sender));
    text("text/event-stream", Body::new(Events { receiver, _viewer: viewer })).await
}

/// Sends each frame that is newer than `known`; to a viewer who is slow to take one, the latest one next.
async fn tell(shared: Arc<Shared>, mut known: String, sender: mpsc::Sender<Bytes>) {
    let mut frames = shared.studio.frames();
    let greeting = Bytes::from_static(b"retry: 1000\n\n");
    let mut told = sender.send(greeting).await;
    while told.is_ok() {
        // Not the frame itself: who is slow to take its news would keep it.
        let news = {
            let frame = frames.borrow_and_update();
            frame.since(&known).map(|news| (news, frame.id.clone()))
        };
        if let Some((news, id)) = news {
            told = sender.send(news).await;
            known = id;
        }
        match timeout(BEAT_EVERY, frames.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_ended)) => return,
            Err(_elapsed) => told = sender.send(frame::beat(shared.studio.now_ms())).await,
        }
    }
}

/// What goes to one viewer.
#[derive(Debug)]
struct Events {
    receiver: mpsc::Receiver<Bytes>,
    _viewer: Viewer,
}

impl HttpBody for Events {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Part<Bytes>, Self::Error>>> {
        self.receiver.poll_recv(context).map(|bytes| bytes.map(|bytes| Ok(Part::data(bytes))))
    }
}
