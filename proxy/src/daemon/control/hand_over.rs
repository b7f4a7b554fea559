//! Hands what only one process can have to the next one: the listening socket and the locks of the files that say who runs.
//!
//! 1. The new process asks (`hand_over`). The running one answers, and the descriptors come with the answer (SCM_RIGHTS). Both may
//!    accept clients from now on, since they hold the same socket: no client finds it closed.
//! 2. The new process serves, replaces the files, and says so (`took_over`).
//! 3. The running one stops accepting, answers (`retired`) and ends with its last connection.
//!
//! If the new process ends in between, the running one goes on as if nobody had asked.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::client::{read_answer, send_request, unreachable};
use super::{Answer, Request};
use crate::env::os::ListenerHandle;

/// Descriptors of one hand-over: listener, lock of the control socket, listener of our own pages, PID file.
const MAX_DESCRIPTORS: usize = 4;

/// The longest answer in a hand-over, in bytes: one of a few words.
const MAX_LINE: usize = 4 * 1024;

/// How long either side waits for the other's next word. The new process starts in between, and looks up no name for that.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// What this process has and could hand over.
#[derive(Debug)]
pub struct Holdings {
    /// The socket that accepts clients, for as long as it does.
    pub listener: ListenerHandle,
    /// That of the proxy's own pages, where they have one.
    pub admin: Option<ListenerHandle>,
    /// The lock of the control socket.
    pub control_lock: OwnedFd,
    /// The PID file, where there is one.
    pub pid_file: Option<OwnedFd>,
}

impl Holdings {
    /// What is handed over now.
    ///
    /// # Errors
    /// Clients are accepted no more, or there is no descriptor left.
    pub(super) fn lend(&self) -> io::Result<Handed> {
        Ok(Handed {
            listener: self.listener.share()?,
            admin: self.admin.as_ref().map(ListenerHandle::share).transpose()?,
            control_lock: self.control_lock.try_clone()?,
            pid_file: self.pid_file.as_ref().map(OwnedFd::try_clone).transpose()?,
        })
    }
}

/// What one process hands to the next.
#[derive(Debug)]
pub struct Handed {
    /// The socket that accepts clients.
    pub listener: TcpListener,
    /// That of the proxy's own pages, where they have one.
    pub admin: Option<TcpListener>,
    /// The lock of the control socket, held.
    pub control_lock: OwnedFd,
    /// The PID file, held, where there is one.
    pub pid_file: Option<OwnedFd>,
}

impl Handed {
    /// Sends it behind the stream's earlier bytes, together with the answer that announces it.
    pub(super) async fn send(&self, stream: &UnixStream) -> io::Result<()> {
        let mut line = serde_json::to_vec(&Answer::HandedOver { admin: self.admin.is_some() })?;
        line.push(b'\n');
        let descriptors: Vec<_> = [self.listener.as_fd(), self.control_lock.as_fd()]
            .into_iter()
            .chain(self.admin.as_ref().map(AsFd::as_fd))
            .chain(self.pid_file.as_ref().map(AsFd::as_fd))
            .collect();
        let send = || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            if !ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)) {
                return Err(io::Error::other("there are more descriptors than there is room for"));
            }
            Ok(sendmsg(stream, &[IoSlice::new(&line)], &mut ancillary, SendFlags::NOSIGNAL)?)
        };
        let sent = stream.async_io(Interest::WRITABLE, send).await?;
        if sent == line.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    /// Reads an answer and what comes with it. `None` where nothing came with it, which is what another answer looks like.
    async fn receive(stream: &UnixStream) -> io::Result<(Vec<u8>, Option<Handed>)> {
        let mut line = vec![0; MAX_LINE];
        let mut descriptors = Vec::new();
        let receive = || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            // No program that we start may inherit them.
            let flags = RecvFlags::CMSG_CLOEXEC;
            let received = recvmsg(stream, &mut [IoSliceMut::new(&mut line)], &mut ancillary, flags)?;
            for message in ancillary.drain() {
                if let RecvAncillaryMessage::ScmRights(rights) = message {
                    descriptors.extend(rights);
                }
            }
            Ok(received.bytes)
        };
        let count = stream.async_io(Interest::READABLE, receive).await?;
        line.truncate(count);
        let mut descriptors = descriptors.into_iter();
        let with_admin = matches!(serde_json::from_slice(&line), Ok(Answer::HandedOver { admin: true }));
        let handed = descriptors.next().zip(descriptors.next()).map(|(listener, control_lock)| Handed {
            listener: listener.into(),
            control_lock,
            admin: if with_admin { descriptors.next().map(TcpListener::from) } else { None },
            pid_file: descriptors.next(),
        });
        Ok((line, handed))
    }
}

/// A hand-over that has begun: the running process waits for us to serve. Dropping it breaks it off, and that one goes on.
#[derive(Debug)]
pub struct TakeOver {
    stream: UnixStream,
}

impl TakeOver {
    /// Asks the process behind the control socket at `path` for what it has.
    ///
    /// # Errors
    /// A sentence that says why there is nothing to take over.
    pub async fn begin(path: &Path) -> Result<(TakeOver, Handed), String> {
        let shown = path.display();
        let exchange = async {
            let mut stream = UnixStream::connect(path)
                .await
                .map_err(|error| unreachable(path, &error, "without --take-over this one starts alone"))?;
            let failed = |error: io::Error| format!("{shown}: {error}");
            // In a folder that others may write, they may have put a socket of theirs there.
            let own = rustix::process::geteuid().as_raw();
            let uid = stream.peer_cred().map_err(failed)?.uid();
            if uid != own && uid != 0 {
                return Err(format!("{shown}: the process there is of user {uid} and not of ours, {own}"));
            }
            send_request(&mut stream, Request::HandOver {}).await.map_err(failed)?;
            let (line, handed) = Handed::receive(&stream).await.map_err(failed)?;
            match (read_answer(path, &line)?, handed) {
                (Answer::HandedOver { .. }, Some(handed)) => Ok((TakeOver { stream }, handed)),
                (answer, _) => Err(format!("{shown}: the running proxy hands nothing over: {answer:?}")),
            }
        };
        timeout(PATIENCE, exchange).await.map_err(|_| format!("{shown}: the proxy did not answer in time"))?
    }

    /// Tells the running process that this one serves, and waits until it has stopped accepting.
    ///
    /// # Errors
    /// A sentence: it gave no answer. It may be gone, or be serving on.
    pub async fn complete(mut self) -> Result<(), String> {
        let exchange = async {
            send_request(&mut self.stream, Request::TookOver {}).await.map_err(|error| error.to_string())?;
            let (line, _) = Handed::receive(&self.stream).await.map_err(|error| error.to_string())?;
            match serde_json::from_slice(&line) {
                Ok(Answer::Retired {}) => Ok(()),
                _ => Err(format!("it answered {:?}", String::from_utf8_lossy(&line))),
            }
        };
        timeout(PATIENCE, exchange).await.unwrap_or_else(|_| Err("it did not answer in time".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;

    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn what_is_handed_over_is_the_very_thing() {
        for (with_pid_file, with_admin) in [(true, true), (true, false), (false, true), (false, false)] {
            let folder = tempfile::tempdir().unwrap();
            let file = |name: &str| File::create_new(folder.path().join(name)).unwrap();
            let (lock, pid) = (file("lock"), file("pid"));
            lock.lock().unwrap();
            let handed = Handed {
                listener: TcpListener::bind("127.0.0.1:0").unwrap(),
                control_lock: lock.into(),
                admin: with_admin.then(|| TcpListener::bind("127.0.0.1:0").unwrap()),
                pid_file: with_pid_file.then(|| pid.into()),
            };
            let address = handed.listener.local_addr().unwrap();
            let admin = handed.admin.as_ref().map(|admin| admin.local_addr().unwrap());
            let (near, far) = UnixStream::pair().unwrap();
            handed.send(&near).await.unwrap();
            drop(handed);
            let (line, received) = Handed::receive(&far).await.unwrap();
            assert_eq!(line, format!("{{\"result\":\"handed_over\",\"admin\":{with_admin}}}\n").as_bytes());
            let received = received.unwrap();
            assert_eq!(received.listener.local_addr().unwrap(), address);
            assert_eq!(received.admin.as_ref().map(|admin| admin.local_addr().unwrap()), admin);
            let other = File::open(folder.path().join("lock")).unwrap();
            assert!(other.try_lock().is_err(), "the lock has come with the descriptor");
            assert_eq!(received.pid_file.is_some(), with_pid_file);
            if let Some(pid_file) = received.pid_file {
                File::from(pid_file).write_all(b"17").unwrap();
                assert_eq!(std::fs::read(folder.path().join("pid")).unwrap(), b"17");
            }
        }
    }

    #[tokio::test]
    async fn an_answer_without_descriptors_hands_nothing_over() {
        let (mut near, far) = UnixStream::pair().unwrap();
        near.write_all(b"{\"result\":\"handed_over\"}\n").await.unwrap();
        assert!(Handed::receive(&far).await.unwrap().1.is_none());
    }

    #[tokio::test]
    async fn only_whoever_has_retired_says_so() {
        for (answer, retired) in [(&b"{\"result\":\"retired\"}\n"[..], true), (b"", false), (b"{}\n", false)] {
            let (mut near, far) = UnixStream::pair().unwrap();
            near.write_all(answer).await.unwrap();
            near.shutdown().await.unwrap();
            assert_eq!(TakeOver { stream: far }.complete().await.is_ok(), retired, "{answer:?}");
        }
    }
}
