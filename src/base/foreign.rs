//! Runs code that users bring along: chat templates, scripts and the libraries that read their files. A panic in it becomes an
//! error of the caller, and nothing is printed.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::sync::Once;

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
}
