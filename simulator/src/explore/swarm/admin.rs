//! The proxies of some made-up scenarios have a listener of their own for their pages.

use serde_json::{Value as Json, json};

use super::draw::Feature::*;
use super::draw::{Draw, PASSWORD};

/// The port of that listener.
const PORT: u16 = 9100;
/// How many come at once and say nothing: more than any limit that is drawn, with the reserve above it.
const SILENT: u64 = 100;

impl Draw {
    /// Gives `proxies` such a listener, and has those of `clients` who ask for pages do it there. Somebody asks where clients connect, and
    /// somebody through the proxy. Where there are only so many places, a crowd takes all that are not the listener's own.
    pub(super) fn admin_listener(&mut self, proxies: &mut [(&str, Json)], clients: &mut Vec<Json>, seconds: u64) {
        for (_, proxy) in proxies.iter_mut() {
            proxy["admin"] = json!({ "listen_address": format!("0.0.0.0:{PORT}") });
            if self.has(Limit) {
                proxy["timeouts"]["header"] = json!(format!("{}s", self.number(2, 4)));
            }
        }
        let asks = |client: &Json| client["do"].as_str().is_some_and(|action| action.starts_with("page:"));
        for client in clients.iter_mut().filter(|client| asks(client)) {
            client["entrance"] = json!("admin");
            // More often, and they were a crowd themselves.
            client["rate"] = json!(self.number(1, 3));
        }
        let through_the_proxy = format!("http:target={{id}}.proxy.localhost:{PORT},path=/healthz");
        let mut also = vec![("astray", "page:path=/readyz".to_owned()), ("roundabout", through_the_proxy)];
        if !self.has(Pages) {
            also.push(("ready", "page:path=/readyz".to_owned()));
        }
        for (name, action) in also {
            let mut client = json!({ "name": name, "do": action, "until": format!("{seconds}s") });
            client["rate"] = json!(self.number(1, 3));
            if name == "ready" {
                client["entrance"] = json!("admin");
            }
            if name == "roundabout" && self.has(ClientAuth) {
                client["users"] = json!([format!("alice:{PASSWORD}")]);
            }
            client["through"] = json!(self.one_of(proxies).0);
            clients.push(client);
        }
        if self.has(Limit) {
            let mut crowd = json!({ "name": "crowd", "do": "abuse:by=silence", "requests": SILENT, "rate": 1000 });
            crowd["from"] = json!(format!("{}s", self.number(1, seconds - 8)));
            crowd["through"] = json!(self.one_of(proxies).0);
            clients.push(crowd);
        }
    }
}
