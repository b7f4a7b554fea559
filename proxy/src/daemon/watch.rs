//! Reports that watched files may have changed; the caller reads and compares them.
//!
//! Folders are watched, not files: editors and deployments put a new file in the old one's place, and a mounted
//! Kubernetes config map swaps a symbolic link two steps away (`proxy.json` leads to `..data/proxy.json`, `..data`
//! to a dated folder). So every link on the way to a file counts, in the folder where it lies.
//!
//! Beside the notifications, metadata are compared every [`POLL`]: for file systems that notify of nothing
//! (network, some overlays), for folders that are gone and come back, and for used-up inotify limits.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// How long nothing must change before a change is reported, so that a file is not read half-written.
pub const QUIET: Duration = Duration::from_millis(100);

/// How long further changes can delay the report at most.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// How often metadata are compared.
pub const POLL: Duration = Duration::from_secs(5);

/// Links followed on the way to one file; as many as Linux follows (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// A stream of "something may have changed".
#[derive(Debug)]
pub struct Changes {
    paths: Vec<PathBuf>,
    /// `None` where the system can't notify; `fallback_reason` says why.
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
    shared: Arc<Shared>,
    fallback_reason: Option<String>,
    stamps: BTreeMap<PathBuf, Option<Stamp>>,
    /// When a change began that has not been reported yet.
    since: Option<Instant>,
    next_poll: Instant,
}

/// Between us and the watcher's own thread.
#[derive(Debug, Default)]
struct Shared {
    changed: Notify,
    /// Files and links whose change counts, and the folders they lie in.
    relevant: Mutex<BTreeSet<PathBuf>>,
}

/// The metadata by which two states of a file differ, without reading it.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    /// Of content, owner or mode: a file that becomes readable counts.
    altered: (i64, i64),
}

impl Changes {
    /// Begins to watch `paths`, which need not exist yet. Changes from now on are reported.
    ///
    /// Never fails: where notifications can't be had, [`Changes::fallback_reason`] says so and polling remains.
    pub fn watch(paths: &[PathBuf]) -> Changes {
        let shared = Arc::new(Shared::default());
        let for_thread = Arc::clone(&shared);
        let watcher = notify::recommended_watcher(move |event| for_thread.hear(event));
        let (watcher, fallback_reason) = match watcher {
            Ok(watcher) => (Some(watcher), None),
            Err(error) => (None, Some(error.to_string())),
        };
        let mut changes = Changes {
            paths: Vec::new(),
            watcher,
            watched: BTreeSet::new(),
            shared,
            fallback_reason,
            stamps: BTreeMap::new(),
            since: None,
            next_poll: Instant::now() + POLL,
        };
        changes.set_paths(paths);
        changes
    }

    /// Watches `paths` from now on instead of what was watched before.
    pub fn set_paths(&mut self, paths: &[PathBuf]) {
        // `absolute` fails on an empty path only, which no file has.
        self.paths = paths.iter().filter_map(|path| std::path::absolute(path).ok()).collect();
        self.look();
    }

    /// Reports a change once, as if something had changed: for changes that may have come before the watch began.
    pub fn touch(&self) {
        self.shared.changed.notify_one();
    }

    /// Why changes are noticed late (within [`POLL`]) instead of at once, if so: for a warning in the log.
    pub fn fallback_reason(&self) -> Option<&str> {
        self.fallback_reason.as_deref()
    }

    /// Returns once something may have changed and [`QUIET`] has passed since, at most [`PATIENCE`] after it began.
    ///
    /// What the caller reads afterwards is at least as new as the change. Cancel safe.
    pub async fn next(&mut self) {
        loop {
            let Some(since) = self.since else {
                tokio::select! {
                    biased;
                    () = self.shared.changed.notified() => self.since = Some(Instant::now()),
                    () = sleep_until(self.next_poll) => {
                        self.next_poll = Instant::now() + POLL;
                        if self.look() {
                            self.since = Some(Instant::now());
                        }
                    }
                }
                continue;
            };
            let end = since + PATIENCE;
            loop {
                let quiet = (Instant::now() + QUIET).min(end);
                tokio::select! {
                    biased;
                    () = sleep_until(quiet) => break,
                    () = self.shared.changed.notified() => {}
                }
            }
            // This comes before the caller reads, so that a later change is reported again.
            self.look();
            self.since = None;
            return;
        }
    }

    /// Brings watches and stamps up to date with the files; returns whether the stamps differ from those kept.
    fn look(&mut self) -> bool {
        let mut relevant = BTreeSet::new();
        for path in &self.paths {
            trail(path, &mut relevant);
        }
        let folders: BTreeSet<PathBuf> = relevant.iter().filter_map(|path| path.parent()).map(Path::to_owned).collect();
        relevant.extend(folders.iter().cloned());
        *self.shared.relevant.lock().unwrap_or_else(PoisonError::into_inner) = relevant;
        self.rewatch(folders);

        // After the watches stand, so that no change falls between the two.
        let stamps = self.paths.iter().map(|path| (path.clone(), Stamp::of(path))).collect();
        let differ = stamps != self.stamps;
        self.stamps = stamps;
        differ
    }

    /// Watches exactly `folders`. Every one is watched anew: the one at an old path may be another folder by now.
    fn rewatch(&mut self, folders: BTreeSet<PathBuf>) {
        let Some(watcher) = &mut self.watcher else { return };
        for folder in std::mem::take(&mut self.watched) {
            // An error says that the folder is gone, and its watch with it.
            let _ = watcher.unwatch(&folder);
        }
        self.fallback_reason = None;
        for folder in folders {
            match watcher.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => _ = self.watched.insert(folder),
                Err(error) => self.fallback_reason = Some(error.to_string()),
            }
        }
    }
}

impl Shared {
    /// Runs on the watcher's thread.
    fn hear(&self, event: notify::Result<notify::Event>) {
        let counts = match event {
            // Reading a file is none of our business, and would make our own reading a change.
            Ok(event) if !matches!(event.kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write)) =>
            {
                let relevant = self.relevant.lock().unwrap_or_else(PoisonError::into_inner);
                // An event without a path says that events were lost.
                event.paths.is_empty() || event.paths.iter().any(|path| relevant.contains(path))
            }
            Ok(_) => false,
            Err(_) => true,
        };
        if counts {
            self.changed.notify_one();
        }
    }
}

impl Stamp {
    /// Of the file that `path` leads to; `None` if there is none.
    ///
    /// A plain stat(2) on the caller's thread: the files are few and local, as configurations are.
    fn of(path: &Path) -> Option<Stamp> {
        let data = fs::metadata(path).ok()?;
        Some(Stamp {
            device: data.dev(),
            inode: data.ino(),
            bytes: data.len(),
            modified: (data.mtime(), data.mtime_nsec()),
            altered: (data.ctime(), data.ctime_nsec()),
        })
    }
}

/// Adds to `found` every link on the way to the absolute `path`, and the file at its end, each under the name by
/// which its own folder's watch reports it (a path without links).
fn trail(path: &Path, found: &mut BTreeSet<PathBuf>) {
    let names =
        |path: &Path| -> Vec<OsString> { path.components().rev().map(|part| part.as_os_str().to_owned()).collect() };
    let mut here = PathBuf::from("/");
    // The way still to go, last step first.
    let mut ahead = names(path);
    let mut links = 0;
    while let Some(name) = ahead.pop() {
        match Path::new(&name).components().next() {
            None | Some(Component::CurDir | Component::Prefix(_)) => {}
            Some(Component::RootDir) => here = PathBuf::from("/"),
            Some(Component::ParentDir) => _ = here.pop(),
            Some(Component::Normal(_)) => {
                let step = here.join(&name);
                match fs::read_link(&step) {
                    Ok(target) if links < MAX_LINKS => {
                        links += 1;
                        found.insert(step);
                        ahead.extend(names(&target));
                    }
                    _ if ahead.is_empty() => _ = found.insert(step),
                    _ => here = step,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::symlink;

    use super::*;

    /// Far beyond what any of these can take. Real time: a paused clock would run ahead of the kernel's events.
    const WATCHDOG: Duration = Duration::from_secs(60);

    /// A temporary folder by its path without links, and a file in it.
    fn folder() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let file = root.join("proxy.json");
        fs::write(&file, "old").unwrap();
        (folder, root, file)
    }

    /// Told by a notification, that is, well before the first poll: polling is put off for good.
    async fn notified(changes: &mut Changes) {
        changes.next_poll = Instant::now() + WATCHDOG * 100;
        tokio::time::timeout(WATCHDOG, changes.next()).await.expect("a change was told");
    }

    /// Told by polling: deaf to notifications, on a paused clock that jumps to the next poll.
    fn deaf(paths: &[PathBuf]) -> Changes {
        let mut changes = Changes::watch(&[]);
        changes.watcher = None;
        changes.set_paths(paths);
        changes
    }

    /// Nothing is pending: under a paused clock, polls come and go without a word.
    async fn silent(changes: &mut Changes) {
        let polls = POLL * 3 + PATIENCE;
        assert!(tokio::time::timeout(polls, changes.next()).await.is_err(), "told of a change that was none");
    }

    #[tokio::test]
    async fn a_write_in_place_is_told() {
        let (_folder, _, file) = folder();
        let mut changes = Changes::watch(std::slice::from_ref(&file));
        assert_eq!(changes.fallback_reason(), None);
        for text in ["new", "old"] {
            fs::write(&file, text).unwrap();
            notified(&mut changes).await;
        }
        fs::OpenOptions::new().append(true).open(&file).unwrap().write_all(b"more").unwrap();
        notified(&mut changes).await;
    }

    #[tokio::test]
    async fn a_rename_over_the_file_is_told_again_and_again() {
        let (_folder, root, file) = folder();
        let mut changes = Changes::watch(std::slice::from_ref(&file));
        for text in ["one", "two", "three"] {
            let draft = root.join("draft");
            fs::write(&draft, text).unwrap();
            fs::rename(&draft, &file).unwrap();
            notified(&mut changes).await;
            assert_eq!(fs::read_to_string(&file).unwrap(), text);
        }
    }

    #[tokio::test]
    async fn a_config_map_swap_is_told_again_and_again() {
        let (_folder, root, _) = folder();
        let publish = |version: &str| {
            fs::create_dir(root.join(version)).unwrap();
            fs::write(root.join(version).join("map.json"), version).unwrap();
            symlink(version, root.join("..data_tmp")).unwrap();
            fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
        };
        publish("..2026_1");
        let file = root.join("map.json");
        symlink("..data/map.json", &file).unwrap();
        let mut changes = Changes::watch(std::slice::from_ref(&file));
        for version in ["..2026_2", "..2026_3"] {
            publish(version);
            notified(&mut changes).await;
            assert_eq!(fs::read_to_string(&file).unwrap(), version);
        }
    }

    #[tokio::test]
    async fn a_link_in_another_folder_on_the_way_counts() {
        let (_folder, root, _) = folder();
        for release in ["one", "two"] {
            fs::create_dir_all(root.join("releases").join(release)).unwrap();
            fs::write(root.join("releases").join(release).join("proxy.json"), release).unwrap();
        }
        symlink("one", root.join("releases/current")).unwrap();
        fs::create_dir(root.join("etc")).unwrap();
        let file = root.join("etc/proxy.json");
        symlink("../releases/current/proxy.json", &file).unwrap();
        let mut changes = Changes::watch(std::slice::from_ref(&file));
        symlink("two", root.join("releases/next")).unwrap();
        fs::rename(root.join("releases/next"), root.join("releases/current")).unwrap();
        notified(&mut changes).await;
    }

    #[tokio::test]
    async fn a_file_deleted_and_made_again_is_told() {
        let (_folder, _, file) = folder();
        let mut changes = Changes::watch(std::slice::from_ref(&file));
        fs::remove_file(&file).unwrap();
        notified(&mut changes).await;
        fs::write(&file, "new").unwrap();
        notified(&mut changes).await;
    }

    #[tokio::test]
    async fn a_folder_deleted_and_made_again_is_told_and_watched_again() {
        let (_folder, root, _) = folder();
        let home = root.join("conf");
        let file = home.join("proxy.json");
        fs::create_dir(&home).unwrap();
        fs::write(&file, "old").unwrap();
        let mut changes = Changes::watch(std::slice::from_ref(&file));
        fs::remove_dir_all(&home).unwrap();
        notified(&mut changes).await;
        assert!(changes.fallback_reason().is_some(), "a folder that is not there can't be watched");

        fs::create_dir(&home).unwrap();
        fs::write(&file, "new").unwrap();
        changes.next_poll = Instant::now();
        tokio::time::timeout(WATCHDOG, changes.next()).await.expect("the poll finds it");
        assert_eq!(changes.fallback_reason(), None);

        fs::write(&file, "newer").unwrap();
        notified(&mut changes).await;
    }

    #[tokio::test]
    async fn changed_paths_are_watched_instead() {
        let (_folder, root, file) = folder();
        let other = root.join("other.json");
        fs::write(&other, "old").unwrap();
        let mut changes = Changes::watch(std::slice::from_ref(&file));
        changes.set_paths(std::slice::from_ref(&other));
        fs::write(&other, "new").unwrap();
        notified(&mut changes).await;
        let relevant = changes.shared.relevant.lock().unwrap().clone();
        assert_eq!(relevant, BTreeSet::from([root, other]));
    }

    #[tokio::test(start_paused = true)]
    async fn neighbours_and_readers_are_not_told_of() {
        let shared = Shared::default();
        *shared.relevant.lock().unwrap() = BTreeSet::from([PathBuf::from("/etc/proxy.json")]);
        let tell = |kind, path: &str| shared.hear(Ok(notify::Event::new(kind).add_path(path.into())));
        let heard = async || tokio::time::timeout(QUIET, shared.changed.notified()).await.is_ok();
        tell(EventKind::Modify(notify::event::ModifyKind::Any), "/etc/proxy.log");
        tell(EventKind::Access(AccessKind::Open(AccessMode::Any)), "/etc/proxy.json");
        tell(EventKind::Access(AccessKind::Close(AccessMode::Read)), "/etc/proxy.json");
        assert!(!heard().await);
        tell(EventKind::Access(AccessKind::Close(AccessMode::Write)), "/etc/proxy.json");
        assert!(heard().await);
        shared.hear(Ok(notify::Event::new(EventKind::Other).set_flag(notify::event::Flag::Rescan)));
        assert!(heard().await, "lost events count");
        shared.hear(Err(notify::Error::generic("broken")));
        assert!(heard().await);
    }

    #[tokio::test(start_paused = true)]
    async fn polling_alone_finds_every_kind_of_change() {
        let (_folder, root, file) = folder();
        let mut changes = deaf(&[file.clone(), root.join("absent")]);
        silent(&mut changes).await;
        fs::write(&file, "longer").unwrap();
        changes.next().await;
        fs::rename(&file, root.join("aside")).unwrap();
        changes.next().await;
        fs::rename(root.join("aside"), &file).unwrap();
        changes.next().await;
        fs::write(root.join("absent"), "").unwrap();
        changes.next().await;
        silent(&mut changes).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_poll_comes_in_time_and_a_change_is_told_after_the_quiet() {
        let (_folder, _, file) = folder();
        let mut changes = deaf(std::slice::from_ref(&file));
        let start = Instant::now();
        fs::write(&file, "longer").unwrap();
        changes.next().await;
        assert_eq!(start.elapsed().as_millis(), (POLL + QUIET).as_millis());
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_told_once_when_quiet_and_an_endless_one_in_patience() {
        let mut changes = deaf(&[]);
        let shared = Arc::clone(&changes.shared);
        let burst = async |times: u32| {
            for _ in 0..times {
                shared.changed.notify_one();
                tokio::time::sleep(QUIET / 2).await;
            }
        };
        let start = Instant::now();
        tokio::join!(changes.next(), burst(10));
        // The last of ten came 450 ms after the first.
        assert_eq!(start.elapsed().as_millis(), 550);
        silent(&mut changes).await;

        let start = Instant::now();
        tokio::select! {
            biased;
            () = changes.next() => assert_eq!(start.elapsed().as_millis(), PATIENCE.as_millis()),
            () = burst(1000) => panic!("an endless burst was never told"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_is_told_again_when_asked() {
        let mut changes = deaf(&[]);
        changes.touch();
        changes.next().await;
        silent(&mut changes).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_wait_forgets_nothing() {
        let mut changes = deaf(&[]);
        changes.shared.changed.notify_one();
        assert!(tokio::time::timeout(QUIET / 2, changes.next()).await.is_err());
        tokio::time::timeout(QUIET * 2, changes.next()).await.expect("still told");
    }

    #[test]
    fn a_trail_names_every_link_and_survives_a_circle() {
        let (_folder, root, file) = folder();
        symlink("proxy.json", root.join("a")).unwrap();
        symlink(root.join("a"), root.join("b")).unwrap();
        symlink("round", root.join("round")).unwrap();
        let trail_of = |path: &Path| {
            let mut found = BTreeSet::new();
            trail(path, &mut found);
            found
        };
        assert_eq!(trail_of(&root.join("b")), BTreeSet::from([root.join("a"), root.join("b"), file]));
        assert_eq!(trail_of(&root.join("round")), BTreeSet::from([root.join("round")]));
        assert_eq!(trail_of(&root.join("x/../y")), BTreeSet::from([root.join("y")]));
    }
}
