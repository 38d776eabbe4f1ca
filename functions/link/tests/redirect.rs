//! What the function answers, and of what it tells, whatever becomes of that.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use lambda_http::http::{HeaderMap, Method, StatusCode};
use lambda_http::{Body, Request, Response};
use spillway_cloud::emf::Metrics;
use spillway_cloud::secrets::{SecretSource, SecretStore, SecretsError};
use spillway_core::content::Link;
use spillway_core::conversation::Origin;
use spillway_link::Redirect;
use spillway_service::clock::{ClockCheck, SystemClock};
use spillway_service::links::{LinkKeys, LinkOwner, Linker};
use spillway_service::metrics::{Meter, Metric};
use spillway_service::port::{Clicked, Clicks, StoreError};

const PHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) Instagram 400.0.0.1";
const TARGET: &str = "https://example.com/guide?ref=dm";

/// What the store does with clicks.
#[derive(Clone, Copy)]
enum Store {
    Answers,
    Fails,
    Hangs,
}

struct Told {
    store: Store,
    clicks: AtomicUsize,
}

#[async_trait]
impl Clicks for Told {
    async fn clicked(&self, _owner: &LinkOwner) -> Result<Clicked, StoreError> {
        let before = self.clicks.fetch_add(1, Ordering::SeqCst);
        match self.store {
            Store::Answers if before == 0 => Ok(Clicked::Counted),
            Store::Answers => Ok(Clicked::Known),
            Store::Fails => Err(StoreError::unavailable("note a click", "it is out")),
            Store::Hangs => pending().await,
        }
    }
}

/// The secret, as it is now.
#[derive(Clone, Default)]
struct Secret(Arc<Mutex<Vec<u8>>>);

#[async_trait]
impl SecretSource<LinkKeys> for Secret {
    async fn read(&self) -> Result<LinkKeys, SecretsError> {
        let keys = self.0.lock().unwrap().clone();
        keys_of(&keys).ok_or_else(|| SecretsError::MalformedLinks("it is gone".into()))
    }
}

fn keys_of(numbers: &[u8]) -> Option<LinkKeys> {
    let secrets: Vec<[u8; 32]> = numbers.iter().map(|number| [*number; 32]).collect();
    let secrets: Vec<&[u8]> = secrets.iter().map(<[u8; 32]>::as_slice).collect();
    LinkKeys::new(&secrets).ok()
}

/// A link that this key has signed, as a path.
fn path(key: u8) -> String {
    let owner = LinkOwner {
        account: "17841400000000001".into(),
        person: "526000000000001".into(),
        origin: Origin::new("17890000000000001"),
    };
    let linker = Linker::new("/", keys_of(&[key]).unwrap());
    linker.link(&owner, &Link::new(TARGET))
}

struct World {
    redirect: Redirect,
    secret: Secret,
    told: Arc<Told>,
    meter: Arc<Meter>,
}

impl World {
    fn new(store: Store) -> Self {
        let secret = Secret(Arc::new(Mutex::new(vec![1])));
        let told = Arc::new(Told { store, clicks: AtomicUsize::new(0) });
        let (meter, clock) = (Arc::<Meter>::default(), Arc::new(SystemClock::new()));
        let keys = SecretStore::new(Arc::new(secret.clone()), clock.clone(), meter.clone());
        // One of its own: a flush takes what a meter has.
        let metrics = Metrics {
            meter: meter.clone(),
            clock,
            check: Arc::<ClockCheck>::default(),
            stack: "test".into(),
            write: Arc::new(|_| ()),
        };
        let patience = Duration::from_millis(50);
        let redirect = Redirect::new(keys, told.clone(), metrics, patience);
        Self { redirect, secret, told, meter }
    }

    async fn ask(&self, method: &Method, path: &str, headers: &[(&str, &str)]) -> Response<Body> {
        let mut request = Request::new(Body::Empty);
        *request.method_mut() = method.clone();
        *request.uri_mut() = path.parse().unwrap();
        for (name, value) in headers {
            let name: lambda_http::http::HeaderName = name.parse().unwrap();
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        self.redirect.handle(request).await
    }

    async fn tap(&self, path: &str) -> Response<Body> {
        self.ask(&Method::GET, path, &[("user-agent", PHONE)]).await
    }

    fn clicks(&self) -> usize {
        self.told.clicks.load(Ordering::SeqCst)
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_link_redirects_and_leaves_nothing_behind() {
    let world = World::new(Store::Answers);
    for path in [path(1), format!("{}?fbclid=IwAR0", path(1)), format!("/l{}", path(1))] {
        let answer = world.tap(&path).await;
        assert_eq!(answer.status(), StatusCode::FOUND);
        let headers = answer.headers();
        assert_eq!(header(headers, "location"), TARGET);
        assert_eq!(header(headers, "cache-control"), "no-store");
        assert_eq!(header(headers, "referrer-policy"), "no-referrer");
        assert_eq!(header(headers, "x-robots-tag"), "noindex");
        assert!(answer.body().is_empty());
    }
    assert_eq!(world.clicks(), 3, "the conversation knows which one is the first");
    assert!(!world.meter.take().iter().any(|series| series.metric == Metric::Clicks), "flushed");
}

#[tokio::test]
async fn what_is_forged_or_another_deployments_is_not_found() {
    let world = World::new(Store::Answers);
    let good = path(1);
    let mut paths = vec!["/".to_owned(), "/favicon.ico".into(), path(2), good[..90].to_owned()];
    paths.push("/https://evil.example/".into());
    paths.push(format!("/{TARGET}"));
    paths.extend((1..good.len()).map(|at| {
        let other = if good.as_bytes()[at] == b'A' { "B" } else { "A" };
        format!("{}{other}{}", &good[..at], &good[at + 1..])
    }));
    for path in paths {
        let answer = world.tap(&path).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
        assert_eq!(header(answer.headers(), "location"), "", "{path}");
    }
    assert_eq!(world.clicks(), 0);
}

#[tokio::test]
async fn other_methods_are_refused() {
    let world = World::new(Store::Answers);
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
        let answer = world.ask(&method, &path(1), &[("user-agent", PHONE)]).await;
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(header(answer.headers(), "allow"), "GET, HEAD");
    }
    assert_eq!(world.clicks(), 0);
}

#[tokio::test]
async fn previews_and_robots_are_redirected_and_no_click() {
    let world = World::new(Store::Answers);
    let robots = [
        "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
        "facebookexternalhit/1.1;line-poker/1.0",
        "meta-externalagent/1.1 (+https://developers.facebook.com/docs/sharing/webmasters/crawler)",
        "Twitterbot/1.0",
        "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
        "Mozilla/5.0 AppleWebKit/537.36 (compatible; bingbot/2.0)",
        "LinkedInBot/1.0",
        "WhatsApp/2.23.20.0",
        "TelegramBot (like TwitterBot)",
        "curl/8.5.0",
        "",
    ];
    for robot in robots {
        let answer = world.ask(&Method::GET, &path(1), &[("user-agent", robot)]).await;
        assert_eq!(header(answer.headers(), "location"), TARGET, "{robot}");
    }
    world.ask(&Method::GET, &path(1), &[]).await;
    world.ask(&Method::HEAD, &path(1), &[("user-agent", PHONE)]).await;
    for ahead in
        [("purpose", "prefetch"), ("sec-purpose", "prefetch;prerender"), ("x-moz", "prefetch")]
    {
        world.ask(&Method::GET, &path(1), &[("user-agent", PHONE), ahead]).await;
    }
    assert_eq!(world.clicks(), 0);
    let phone = "Mozilla/5.0 (Linux; Android 14; CUBOT X90) AppleWebKit/537.36";
    world.ask(&Method::GET, &path(1), &[("user-agent", phone)]).await;
    assert_eq!(world.clicks(), 1, "a telephone");
}

#[tokio::test]
async fn a_store_that_fails_or_hangs_does_not_keep_anybody() {
    for store in [Store::Fails, Store::Hangs] {
        let world = World::new(store);
        let answer = world.tap(&path(1)).await;
        assert_eq!(answer.status(), StatusCode::FOUND);
        assert_eq!((header(answer.headers(), "location"), world.clicks()), (TARGET, 1));
    }
}

#[tokio::test]
async fn a_key_that_is_gone_ends_nothing_and_without_any_nothing_is_redirected() {
    let world = World::new(Store::Answers);
    world.secret.0.lock().unwrap().clear();
    assert_eq!(world.tap(&path(1)).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    *world.secret.0.lock().unwrap() = vec![2, 1];
    assert_eq!(world.tap(&path(1)).await.status(), StatusCode::FOUND, "the old key");
    assert_eq!(world.tap(&path(2)).await.status(), StatusCode::FOUND);
    world.secret.0.lock().unwrap().clear();
    assert_eq!(world.tap(&path(2)).await.status(), StatusCode::FOUND, "it was read before");
}
