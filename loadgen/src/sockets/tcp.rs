//! Connects to the proxy over TCP, with a timer that is finer than tokio's.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use rustls::ClientConfig;
use tokio::io::unix::AsyncFd;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::client::Connector;

/// Connects to the proxy over TCP. Each driver needs one of its own, whose timer serves one waiter at a time.
pub(crate) struct TcpConnector {
    proxy: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
    timer: AsyncFd<OwnedFd>,
}

impl TcpConnector {
    pub(crate) fn new(proxy: SocketAddr, tls: Option<Arc<ClientConfig>>) -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags)?;
        #[expect(deprecated, reason = "it is unsound for types that lie about their descriptor; OwnedFd owns its own")]
        let timer = AsyncFd::new(timer)?;
        Ok(TcpConnector { proxy, tls, timer })
    }

    async fn wait(&self, span: Duration) -> io::Result<()> {
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let value = Timespec { tv_sec: span.as_secs() as i64, tv_nsec: i64::from(span.subsec_nanos()) };
        let once = Itimerspec { it_interval: zero, it_value: value };
        rustix::time::timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)?;
        loop {
            let mut ready = self.timer.readable().await?;
            let read = ready.try_io(|timer| rustix::io::read(timer, &mut [0; 8]).map_err(io::Error::from));
            if let Ok(read) = read {
                return read.map(|_| ());
            }
        }
    }
}

impl Connector for TcpConnector {
    type Stream = TcpStream;

    async fn connect(&self) -> io::Result<TcpStream> {
        // Connections that are refused at once wait for nothing: without a turn in between no timer would ever fire.
        tokio::task::coop::consume_budget().await;
        let stream = TcpStream::connect(self.proxy).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn sleep_until(&self, at: Instant) {
        let span = at.saturating_duration_since(Instant::now());
        if span.is_zero() {
            return;
        }
        // tokio's own timer wakes up to a millisecond late, which would stand in every latency of an open loop.
        if self.wait(span).await.is_err() {
            tokio::time::sleep_until(at).await;
        }
    }

    fn tls(&self) -> Option<Arc<ClientConfig>> {
        self.tls.clone()
    }
}
