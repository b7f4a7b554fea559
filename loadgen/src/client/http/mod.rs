//! What speaks HTTP with the proxy, or with a target inside a tunnel: exchanges, pipelines, WebSocket.

mod exchange;
mod pipeline;
mod request;
mod websocket;

pub(super) use pipeline::pipelined;
