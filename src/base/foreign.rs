//! Runs code that users bring along: chat templates, scripts and the libraries that read their files. A panic in it becomes an
//! error of the caller, and nothing is printed.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once, OnceLock, PoisonError};
use std::time::Duration;

thread_local! {
    /// How many calls of [`guarded`] this thread is in.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
    /// Place of the last panic in guarded code.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs foreign code; a panic in it becomes a sentence with its message and its place in the library.
///
/// The first call installs a panic hook for the process, which passes all panics outside of guarded code on to the hook before
/// it. Values that the code may have left half changed must not be used after an error.
///
/// # Errors
/// The code panicked.
pub fn guarded<T>(code: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |panic| {
            if DEPTH.get() == 0 {
                before(panic);
            } else {
                PLACE.set(place(panic));
            }
        }));
    });
    DEPTH.set(DEPTH.get() + 1);
    let result = catch_unwind(AssertUnwindSafe(code));
    DEPTH.set(DEPTH.get() - 1);
    result.map_err(|payload| {
        let at = PLACE
            .take()
            .unwrap_or_else(|| "an unknown place".to_owned());
        format!("panicked at {at}: {}", message(&*payload))
    })
}

/// The watch of the process, if it has one.
static WATCH: OnceLock<Watch> = OnceLock::new();
/// Ticks of the watch's clock since the first timed call; 0 before.
static TICKS: AtomicU64 = AtomicU64::new(0);
/// What each thread runs.
static THREADS: Mutex<Vec<Arc<Running>>> = Mutex::new(Vec::new());
/// Time between two ticks.
const TICK: Duration = Duration::from_millis(100);

struct Watch {
    limit: Duration,
    overdue: fn(&str, Duration),
}

/// The timed call of one thread.
#[derive(Default)]
struct Running {
    /// Tick at which it began; 0 if there is none.
    since: AtomicU64,
    /// What is run, as messages name it.
    what: Mutex<Arc<str>>,
}

thread_local! {
    static RUNNING: Arc<Running> = {
        let running = Arc::new(Running::default());
        locked(&THREADS).push(Arc::clone(&running));
        running
    };
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sets what happens when a call of [`timed`] takes longer than a limit, for the life of the process. `overdue` is given what
/// ran and the limit, on a thread of its own; it must end the process, because nothing can end the call.
pub fn watch(limit: Duration, overdue: fn(&str, Duration)) {
    // A second watch would contradict the first.
    let _ = WATCH.set(Watch { limit, overdue });
}

/// Runs foreign code whose steps cannot all be counted: the process's [`watch`] ends it when it takes too long.
///
/// Only ticks of a clock that runs with the process are compared, so a call costs two stores, and a suspended process does not
/// time out.
pub fn timed<T>(what: &Arc<str>, code: impl FnOnce() -> T) -> T {
    let Some(watch) = WATCH.get() else {
        return code();
    };
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        TICKS.store(1, Ordering::Relaxed);
        // Without the thread nothing is watched; limits of other kinds remain.
        let _ = std::thread::Builder::new()
            .name("watch".to_owned())
            .spawn(|| tick(watch));
    });
    RUNNING.with(|running| {
        {
            let mut name = locked(&running.what);
            if !Arc::ptr_eq(&name, what) {
                name.clone_from(what);
            }
        }
        running
            .since
            .store(TICKS.load(Ordering::Relaxed), Ordering::Release);
        let result = code();
        running.since.store(0, Ordering::Release);
        result
    })
}

fn tick(watch: &Watch) {
    let most = u64::try_from(watch.limit.as_nanos() / TICK.as_nanos()).unwrap_or(u64::MAX);
    loop {
        std::thread::sleep(TICK);
        let now = TICKS.fetch_add(1, Ordering::Relaxed) + 1;
        let threads = locked(&THREADS);
        let late = threads.iter().find(|running| {
            let since = running.since.load(Ordering::Acquire);
            since != 0 && now - since > most
        });
        if let Some(running) = late {
            let what = locked(&running.what).clone();
            (watch.overdue)(&what, watch.limit);
            return;
        }
    }
}

/// Stack for code that may recurse as deeply as its limits allow, in bytes. Only the part that is used takes memory.
const DEEP_STACK: usize = 128 << 20;

/// Runs foreign code that may recurse deeply, on a thread with a large stack; otherwise as [`guarded`].
///
/// # Errors
/// The code panicked, or the thread could not be started.
pub fn on_deep_stack<T: Send>(code: impl FnOnce() -> T + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().stack_size(DEEP_STACK);
        let started = builder.spawn_scoped(scope, || guarded(code));
        let thread = started.map_err(|error| format!("could not be started: {error}"))?;
        thread
            .join()
            .unwrap_or_else(|panic| Err(format!("panicked: {}", message(&*panic))))
    })
}

/// File name and line of a panic.
fn place(panic: &PanicHookInfo<'_>) -> Option<String> {
    let location = panic.location()?;
    let file = location.file().rsplit(['/', '\\']).next()?;
    Some(format!("{file}:{}", location.line()))
}

/// The text of a panic.
fn message(payload: &(dyn Any + Send)) -> &str {
    match payload.downcast_ref::<String>() {
        Some(text) => text,
        None => payload.downcast_ref::<&str>().unwrap_or(&"no message"),
    }
}

#[cfg(test)]
mod tests {
    use crate::base::foreign::*;

    #[test]
    fn a_panic_is_an_error_with_its_place() {
        let line = line!() + 1;
        let result = guarded(|| panic!("no {}", "way"));
        let wanted = format!("panicked at foreign.rs:{line}: no way");
        assert_eq!(result, Err::<(), _>(wanted));
        // An inner guard ends with its own panic; the outer code goes on.
        let outer = guarded(|| (guarded(|| panic!("inner")).is_err(), 7));
        assert_eq!(outer, Ok((true, 7)));
        assert_eq!(DEPTH.get(), 0);
    }

    #[test]
    fn deep_recursion_fits() {
        fn deep(levels: u64) -> u64 {
            let room = std::hint::black_box([levels; 64]);
            if levels == 0 {
                0
            } else {
                deep(levels - 1) + room[0] / levels
            }
        }
        assert_eq!(on_deep_stack(|| deep(40_000)), Ok(40_000));
    }
}
