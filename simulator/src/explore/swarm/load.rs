//! A made-up scenario has one to three clients, and at times a herd of them.

use serde_json::{Value as Json, json};

use super::draw::Feature::{self, *};
use super::draw::{Draw, NEW_PASSWORD, PASSWORD};

impl Draw {
    /// Many clients at once.
    pub(super) fn herd(&mut self, seconds: u64) -> Json {
        let mut herd = json!({
            "name": "herd", "requests": self.number(30, 120), "rate": 1000, "do": format!("echo:bytes={}", self.size(2000)),
            "from": format!("{}s", self.number(1, seconds - 1)),
        });
        if self.has(ClientAuth) {
            herd["users"] = json!([format!("alice:{PASSWORD}")]);
        }
        herd
    }

    pub(super) fn clients(&mut self, seconds: u64) -> Vec<Json> {
        let count = self.number(1, 3);
        let mut clients: Vec<Json> = (1..=count)
            .map(|number| {
                let mut action = self.action();
                if self.has(Limit) {
                    // How long a connection that is kept takes up a place, nobody but its two ends can tell.
                    action = action.replace(",keep-alive", "");
                }
                if self.has(Feature::Abuse) {
                    // The proxy soon ends kept connections there, and what came at that very moment nobody may send again.
                    action = action.replace(",expect,keep-alive", ",expect");
                }
                let mut client = json!({ "name": format!("c{number}"), "do": action, "until": format!("{seconds}s") });
                if self.once_in(4) {
                    client["clients"] = json!(self.number(1, 8));
                    // Some that ask without a pause would have most cases of a sweep, and what was done to them would count for all.
                    client["think"] = json!(format!("{}ms", self.number(150, 500)));
                } else {
                    let rate = self.number(2, 16);
                    // Where each takes up a place for seconds, more make it crowded for good. Few leave the proxy idle between them.
                    let few = self.has(Limit) || (self.has(Ambush) && self.once_in(2));
                    client["rate"] = json!(if few { 1 + rate / 8 } else { rate });
                    client["poisson"] = json!(self.once_in(3));
                }
                if self.has(ClientAuth) {
                    // Now and then none, a wrong one, or one after the other, on the same connection where it is kept.
                    let passwords: &[&str] = match self.number(1, 8) {
                        7..=8 if number > 1 && self.has(ReloadUsers) => &[NEW_PASSWORD],
                        1..=2 if number > 1 => &["guessing"],
                        3..=4 => &[PASSWORD, "guessing"],
                        5 if number > 1 => &[],
                        _ => &[PASSWORD],
                    };
                    client["users"] = passwords.iter().map(|password| format!("alice:{password}")).collect();
                }
                client
            })
            .collect();
        let also = [
            (DeadTargets, "lost", "echo:target={id}.gone.example:80".to_owned()),
            (OddPages, "odd", "http:path=/status/407,status=502".to_owned()),
            (LongTunnels, "long", format!("hold:for={}s,every=1s", self.number(5, 30))),
            // Longer than any time-out that is drawn for them.
            (SilentTunnels, "silent", "hold:for=25s,every=25s".to_owned()),
            (ReloadTimeouts, "slow", "http:target={id}.d5000.slow.mock:80".to_owned()),
            // Whoever comes behind one who has logged in, on the same connection, would be taken for him.
            (Logins, "ann", "http:bytes=500,login=negotiate/ann".to_owned()),
            (Logins, "ben", "http:bytes=500,login=ntlm/ben".to_owned()),
            (Logins, "visitor", "http:bytes=500".to_owned()),
            (TlsTargets, "sealed", format!("tls:method=POST,path=/echo,send={}", self.size(60_000))),
        ];
        for (feature, name, action) in also {
            if !self.has(feature) {
                continue;
            }
            let mut client =
                json!({ "name": name, "do": action, "rate": self.number(1, 4), "until": format!("{seconds}s") });
            if self.has(ClientAuth) {
                client["users"] = json!([format!("alice:{PASSWORD}")]);
            }
            clients.push(client);
        }
        for (feature, name, action) in [
            (Pages, "alive", "page:path=/healthz".to_owned()),
            (Pages, "ready", "page:path=/readyz".to_owned()),
            (Feature::Abuse, "bad", format!("abuse:by={}", self.one_of(&loadgen::Abuse::ALL))),
        ] {
            if self.has(feature) {
                // A crowd does not last, and the pages have to be asked for in the middle of it.
                let often = if self.has(Limit) { 10 } else { 1 };
                let rate = self.number(1, 4) * often;
                let mut client = json!({ "name": name, "do": action, "rate": rate, "until": format!("{seconds}s") });
                if self.has(ClientAuth) && feature == Feature::Abuse {
                    client["users"] = json!([format!("alice:{PASSWORD}")]);
                }
                clients.push(client);
            }
        }
        if self.has(SilentTunnels) {
            // Longer than any time-out that is drawn for tunnels of which one side has ended.
            let mut client = json!({ "name": "patient", "do": "download:bytes=100,send=10,wait=25s", "until": format!("{seconds}s") });
            client["rate"] = json!(self.number(1, 3));
            if self.has(ClientAuth) {
                client["users"] = json!([format!("alice:{PASSWORD}")]);
            }
            clients.push(client);
        }
        clients
    }

    fn action(&mut self) -> String {
        let (bytes, block) = (self.size(100_000), self.size(60_000));
        match self.number(1, 18) {
            1 => format!("http:method=POST,path=/echo,send={bytes}"),
            2 => format!("http:target={{id}}.n{bytes}.source.mock:80,pattern={bytes}"),
            3 => format!("download:bytes={bytes},send={block}"),
            4 => {
                let longest = if self.has(Limit) { 1 } else { 8 };
                format!("hold:for={}s,every={}s,bytes={block}", self.number(1, longest), self.number(1, 4))
            }
            5 => format!("echo:rounds={},bytes={block},early", self.number(1, 3)),
            6 => format!("upload:bytes={bytes}"),
            7 => "connect".to_owned(),
            8 => format!("http:method=POST,path=/echo,send={bytes},chunked,trailers"),
            9 => format!("http:path=/trailers/{bytes},pattern={bytes},trailers,keep-alive"),
            10 => format!("http:method=POST,path=/echo,send={block},expect,keep-alive"),
            11 => format!("http:method=HEAD,bytes={bytes},keep-alive"),
            12 => format!("http:version=1.0,path=/chunked/{bytes},pattern={bytes}"),
            // Without a length, a body of HTTP/1.0 ends with its connection; an endless one would be read until the client's time is over.
            16 => format!("http:version=1.0,path=/chunked/{bytes},most=200k"),
            13 => format!("http:bytes={block},pipeline={}", self.number(2, 8)),
            14 => format!("websocket:rounds={},bytes={block}", self.number(1, 3)),
            15 => format!("http:bytes={block},keep-alive"),
            _ => format!("echo:bytes={block}"),
        }
    }
}
