//! Whether a request comes from somebody who has tapped a link. Meta opens each link when a message is
//! delivered, to show a preview, and so do others that read it on its way.

use lambda_http::http::{HeaderMap, Method, header};

/// What the names of programs have in them that open links by themselves.
const ROBOTS: [&str; 14] = [
    "bot",
    "crawl",
    "spider",
    "slurp",
    "preview",
    "facebookexternalhit",
    "facebookcatalog",
    "facebot",
    "meta-external",
    "whatsapp",
    "skypeuripreview",
    "embedly",
    "curl/",
    "headless",
];

/// A maker of telephones whose name looks like a robot's.
const NO_ROBOT: &str = "cubot";

/// The headers by which browsers say that they fetch a page ahead of a tap.
const AHEAD: [&str; 4] = ["purpose", "sec-purpose", "x-purpose", "x-moz"];

/// Whether a person has opened a link, as far as the request tells.
pub(crate) fn is_person(method: &Method, headers: &HeaderMap) -> bool {
    let value = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let is_ahead = AHEAD.iter().filter_map(|name| value(name)).any(|purpose| {
        let purpose = purpose.to_ascii_lowercase();
        purpose.contains("prefetch") || purpose.contains("preview")
    });
    // Every browser has a name.
    let Some(agent) = value(header::USER_AGENT.as_str()) else { return false };
    let agent = agent.to_ascii_lowercase().replace(NO_ROBOT, "");
    let is_robot = agent.trim().is_empty() || ROBOTS.iter().any(|robot| agent.contains(robot));
    *method == Method::GET && !is_ahead && !is_robot
}
