//! The last lines, in a bounded number of bytes, for whoever writes them and whoever reads them.
//!
//! Nobody who writes waits: the memory is in parts with a lock each, which is tried and never waited for. Lines go to the parts in turn, so
//! that all of them reach back equally far. A line that finds every part busy is missed, and counted.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError, TryLockError};

/// Parts of the memory. More than there are threads that write at one moment on most machines, and one that reads.
const PARTS: usize = 16;

/// What stands in front of each line: its number, and its length.
const HEAD: usize = size_of::<u64>() + size_of::<u32>();

/// The last lines.
#[derive(Debug)]
pub(super) struct Memory {
    parts: Box<[Mutex<VecDeque<u8>>]>,
    /// Bytes of each part.
    room: usize,
    next: AtomicU64,
    missed: AtomicU64,
}

impl Memory {
    /// Room for so many bytes.
    pub(super) fn new(bytes: usize) -> Self {
        let room = bytes / PARTS;
        let parts = (0..PARTS).map(|_| Mutex::new(VecDeque::with_capacity(room))).collect();
        Memory { parts, room, next: AtomicU64::new(0), missed: AtomicU64::new(0) }
    }

    /// Lines that found no room, since the start.
    pub(super) fn missed(&self) -> u64 {
        self.missed.load(Relaxed)
    }

    /// Remembers a line, in place of the oldest ones.
    pub(super) fn put(&self, line: &[u8]) {
        let number = self.next.fetch_add(1, Relaxed);
        let size = u32::try_from(line.len()).ok().filter(|_| line.len() + HEAD <= self.room);
        let first = (number % PARTS as u64) as usize;
        let (behind, before) = (self.parts.iter().skip(first), self.parts.iter().take(first));
        let free = behind.chain(before).find_map(|part| match part.try_lock() {
            Ok(part) => Some(part),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        });
        let (Some(mut part), Some(size)) = (free, size) else {
            self.missed.fetch_add(1, Relaxed);
            return;
        };
        while part.len() + HEAD + line.len() > self.room {
            forget_first(&mut part);
        }
        part.extend(number.to_ne_bytes());
        part.extend(size.to_ne_bytes());
        part.extend(line);
    }

    /// The lines of which `wanted` is so, one behind the other as they came, and how many.
    pub(super) fn read(&self, wanted: impl Fn(&[u8]) -> bool) -> (Vec<u8>, usize) {
        let copies: Vec<Vec<u8>> = self.parts.iter().map(copy).collect();
        let mut lines: Vec<(u64, &[u8])> =
            copies.iter().flat_map(|copy| lines(copy)).filter(|(_, line)| wanted(line)).collect();
        lines.sort_unstable_by_key(|(number, _)| *number);
        let mut text = Vec::with_capacity(lines.iter().map(|(_, line)| line.len()).sum());
        for (_, line) in &lines {
            text.extend_from_slice(line);
        }
        (text, lines.len())
    }
}

/// Whoever writes meanwhile takes another part.
fn copy(part: &Mutex<VecDeque<u8>>) -> Vec<u8> {
    let part = part.lock().unwrap_or_else(PoisonError::into_inner);
    let (front, back) = part.as_slices();
    [front, back].concat()
}

fn forget_first(part: &mut VecDeque<u8>) {
    let size = part.iter().skip(size_of::<u64>()).take(size_of::<u32>()).copied();
    let mut bytes = [0; size_of::<u32>()];
    bytes.iter_mut().zip(size).for_each(|(byte, from)| *byte = from);
    let end = HEAD + u32::from_ne_bytes(bytes) as usize;
    part.drain(..end.min(part.len()));
}

/// The lines of a part with their numbers.
fn lines(mut part: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    std::iter::from_fn(move || {
        let (number, rest) = part.split_first_chunk()?;
        let (size, rest) = rest.split_first_chunk()?;
        let (line, rest) = rest.split_at_checked(u32::from_ne_bytes(*size) as usize)?;
        part = rest;
        Some((u64::from_ne_bytes(*number), line))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(memory: &Memory) -> String {
        String::from_utf8(memory.read(|_| true).0).unwrap()
    }

    fn numbered(numbers: impl Iterator<Item = u32>) -> String {
        numbers.map(|number| format!("line {number:06}\n")).collect()
    }

    #[test]
    fn the_last_lines_are_there_in_order_and_take_no_more_than_their_room() {
        let memory = Memory::new(PARTS * 1000);
        assert_eq!(memory.read(|_| true), (Vec::new(), 0));
        for number in 0..10_000 {
            memory.put(format!("line {number:06}\n").as_bytes());
        }
        // Each takes 24 bytes of a part's 1000.
        let kept = PARTS as u32 * 41;
        assert_eq!(text(&memory), numbered(10_000 - kept..10_000));
        assert_eq!((memory.read(|_| true).1, memory.missed()), (kept as usize, 0));
        assert!(memory.parts.iter().all(|part| part.lock().unwrap().capacity() <= 1000));
        let (some, count) = memory.read(|line| line.ends_with(b"00\n"));
        assert_eq!(String::from_utf8(some).unwrap(), numbered((9400..10_000).step_by(100)));
        assert_eq!(count, 6);
    }

    #[test]
    fn a_line_longer_than_a_part_is_missed_and_harms_no_other() {
        let memory = Memory::new(PARTS * 1000);
        memory.put(b"before\n");
        memory.put(&[b'x'; 1000]);
        memory.put(&[b'y'; 1000 - HEAD]);
        assert_eq!((text(&memory), memory.missed()), (format!("before\n{}", "y".repeat(1000 - HEAD)), 1));
    }

    #[test]
    fn nobody_waits_for_a_reader_and_what_finds_every_part_busy_is_counted() {
        let memory = Memory::new(PARTS * 1000);
        let held: Vec<_> = memory.parts.iter().skip(1).map(|part| part.lock().unwrap()).collect();
        memory.put(b"one\n");
        memory.put(b"two\n");
        let last = memory.parts[0].lock().unwrap();
        memory.put(b"missed\n");
        drop((last, held));
        memory.put(b"three\n");
        assert_eq!((text(&memory), memory.missed()), ("one\ntwo\nthree\n".to_owned(), 1));
    }

    #[test]
    fn many_threads_write_while_one_reads() {
        let memory = Memory::new(PARTS * 10_000);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let memory = &memory;
                scope.spawn(move || (0..1000).for_each(|number| memory.put(format!("{thread} {number}\n").as_bytes())));
            }
            scope.spawn(|| (0..10).for_each(|_| drop(text(&memory))));
        });
        let text = text(&memory);
        assert_eq!(text.lines().count() as u64 + memory.missed(), 4000);
        for thread in ["0 ", "1 ", "2 ", "3 "] {
            let numbers =
                text.lines().filter_map(|line| line.strip_prefix(thread)).map(|number| number.parse::<u32>().unwrap());
            assert!(numbers.is_sorted(), "{text}");
        }
    }
}
