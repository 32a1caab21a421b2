//! The program as a process: signals, limits of the system, and lack of memory. Only the program does this; the library leaves
//! the process of its user alone.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;

use crate::base::error::{Error, Result};
use crate::base::io;

/// Prepares the process: a signal that ends it, and a panic, remove unfinished files first; a file-size limit is an error of
/// writing.
///
/// # Errors
/// A process that may not start a thread or open a file.
pub(super) fn prepare() -> Result<()> {
    io::refuse_overwriting();
    if let Ok(mut reserved) = RESERVED.lock() {
        reserved.reserve_exact(RESERVE);
    }
    // A handler that does nothing to the program: the write then fails with EFBIG.
    let exceeded = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGXFSZ, exceeded).map_err(no_handler)?;
    let ignored = ignored();
    let ending: Vec<i32> = [SIGINT, SIGTERM, SIGHUP]
        .into_iter()
        .filter(|signal| ignored & (1 << (signal - 1)) == 0)
        .collect();
    let mut signals = Signals::new(ending).map_err(no_handler)?;
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            if let Some(signal) = signals.forever().next() {
                io::remove_all_and_stop();
                // Ends the process by the signal, so that a shell sees how it ended.
                let _ = signal_hook::low_level::emulate_default_handler(signal);
            }
        })
        .map_err(no_thread)?;
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        io::try_remove_unfinished();
    }));
    Ok(())
}

/// Bits of the signals that the caller of the program set to be ignored, as `nohup` does; they stay ignored.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

fn no_handler(error: std::io::Error) -> Error {
    Error::usage(
        format!("cannot handle signals: {error}"),
        "raise the limit of open files (`ulimit -n`)",
    )
}

fn no_thread(error: impl std::fmt::Display) -> Error {
    Error::usage(
        format!("cannot start a thread: {error}"),
        "free memory or raise its limit (`ulimit -v`, `ulimit -u`), or give fewer `threads`",
    )
}

/// Starts the threads of all parallel work, as many as there are cores unless a number is given.
///
/// # Errors
/// Threads that cannot be started.
pub(super) fn start_threads(threads: Option<usize>) -> Result<()> {
    if threads == Some(0) {
        return Err(Error::usage("`threads` is 0", "give 1 or more"));
    }
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads.unwrap_or(0))
        .build_global()
        .map_err(no_thread)
}

/// The system's allocator; the program ends with a message if there is no memory left, where Rust would abort.
#[derive(Debug)]
pub struct Allocator;

#[expect(unsafe_code, reason = "an allocator has no safe interface")]
// SAFETY: every call is passed on unchanged to the system's allocator, whose pointers are returned unchanged.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of this function, which is that of the function called.
        let pointer = unsafe { System.alloc(layout) };
        if pointer.is_null() {
            end_without_memory();
        }
        pointer
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as in `alloc`.
        let pointer = unsafe { System.alloc_zeroed(layout) };
        if pointer.is_null() {
            end_without_memory();
        }
        pointer
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as in `alloc`.
        let pointer = unsafe { System.realloc(old, layout, size) };
        if pointer.is_null() {
            end_without_memory();
        }
        pointer
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as in `alloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

const NO_MEMORY: &[u8] =
    b"error: not enough memory for this input and these options; free memory, raise its limit \
(`ulimit -v`), or give a smaller input\n";

/// Bytes that are given back before unfinished folders are removed, because listing a folder needs memory.
const RESERVE: usize = 4 << 20;

/// The reserve; its pages are never touched, so it costs addresses and no memory.
static RESERVED: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// Ends the process. What is needed here comes from the reserve.
#[cold]
fn end_without_memory() {
    thread_local! {
        static IS_ENDING: Cell<bool> = const { Cell::new(false) };
    }
    static HAS_ENDED: AtomicBool = AtomicBool::new(false);
    if IS_ENDING.replace(true) {
        // What is below needed memory after all; the caller reports the failure.
        return;
    }
    if HAS_ENDED.swap(true, Ordering::SeqCst) {
        // Another thread ends the process.
        loop {
            std::thread::sleep(std::time::Duration::from_secs(1));
        }
    }
    let _ = std::io::stderr().write_all(NO_MEMORY);
    if let Ok(mut reserved) = RESERVED.try_lock() {
        drop(std::mem::take(&mut *reserved));
    }
    io::try_remove_all_and_stop();
    std::process::exit(2);
}
