//! Runs a scale command in a process group of its own, which does not outlive its time.
//!
//! A second shell watches: it knows the group's number and waits for a line that says that the command has ended. If its input ends
//! without this line, because the time is over or because this process was stopped in any way, it ends the group: SIGTERM, and
//! SIGKILL after a grace time.

use std::io::{PipeReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::autoscale::planner::Decision;

/// The watching shell: `$1` is the grace time in seconds.
const WATCH: &str = "\
read -r group || exit 0
read -r ended && exit 0
kill -s TERM -- \"-$group\" 2>/dev/null || exit 0
left=$1
while [ \"$left\" -gt 0 ]; do
  sleep 1
  kill -s 0 -- \"-$group\" 2>/dev/null || exit 0
  left=$((left - 1))
done
kill -s KILL -- \"-$group\" 2>/dev/null
exit 0";

/// Seconds between SIGTERM and SIGKILL.
const GRACE: u64 = 2;

/// Most bytes of output that are kept; the rest is read and dropped.
const LONGEST_OUTPUT: usize = 16 << 10;

/// How long the output is awaited after the command has ended; processes that it left behind may keep it open.
const LATE_OUTPUT: Duration = Duration::from_millis(500);

/// What a command did.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finished {
    /// Its exit status in words if it failed or was ended.
    pub(super) outcome: Result<(), String>,
    /// What it wrote to standard output and standard error.
    pub(super) output: String,
}

/// Runs a shell command with the decision in its environment and as JSON on its standard input.
pub(super) fn run(
    command: &str,
    decision: &Decision,
    text: &str,
    timeout: Duration,
) -> std::io::Result<Finished> {
    let mut watcher = Watcher::start()?;
    let (reader, writer) = std::io::pipe()?;
    let mut child = Command::new("sh")
        .args(["-c", command])
        .env("REPLAY_PREFILL", decision.prefill.to_string())
        .env("REPLAY_DECODE", decision.decode.to_string())
        .env("REPLAY_REASON", &decision.reason)
        .stdin(Stdio::piped())
        // Standard output is reserved for decisions.
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0)
        .spawn()?;
    watcher.watch(child.id())?;
    let output = collect(reader);
    if let Some(mut stdin) = child.stdin.take() {
        // A decision fits into the pipe, so this does not wait. A command that does not read its input is not an error.
        let _ = stdin.write_all(text.as_bytes());
    }
    let outcome = match wait(&mut child, timeout)? {
        Some(status) => {
            watcher.release();
            match status.success() {
                true => Ok(()),
                false => Err(status.to_string()),
            }
        }
        None => {
            watcher.end_group();
            // An ended command belongs to its group until it is waited for.
            child.wait()?;
            watcher.wait();
            let seconds = timeout.as_secs_f64();
            Err(format!("not finished after {seconds} s, and ended"))
        }
    };
    let output = output.recv_timeout(LATE_OUTPUT);
    Ok(Finished {
        outcome,
        output: output.unwrap_or_else(|_| "(a process that it left keeps its output open)".into()),
    })
}

/// Waits for the end of a process; `None` if it does not end in time.
fn wait(child: &mut Child, timeout: Duration) -> std::io::Result<Option<ExitStatus>> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if start.elapsed() > timeout {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Reads all output and keeps its beginning.
fn collect(mut reader: PipeReader) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        let mut dropped = 0;
        let mut part = [0; 4096];
        while let Ok(count @ 1..) = reader.read(&mut part) {
            let room = (LONGEST_OUTPUT - kept.len()).min(count);
            kept.extend_from_slice(&part[..room]);
            dropped += count - room;
        }
        let mut text = String::from_utf8_lossy(&kept).into_owned();
        if dropped > 0 {
            text += &format!("\n({dropped} more bytes)");
        }
        let _ = sender.send(text);
    });
    receiver
}

/// The shell that ends the group.
struct Watcher {
    shell: Child,
    input: Option<ChildStdin>,
}

impl Watcher {
    fn start() -> std::io::Result<Self> {
        let mut shell = Command::new("sh")
            .args(["-c", WATCH, "sh", &GRACE.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // An interrupt at the terminal goes to the group of this process, and must not reach the watching shell.
            .process_group(0)
            .spawn()?;
        let input = shell.stdin.take();
        Ok(Self { shell, input })
    }

    fn tell(&mut self, line: &str) -> std::io::Result<()> {
        match &mut self.input {
            Some(input) => input.write_all(line.as_bytes()),
            None => Ok(()),
        }
    }

    /// Watches the group of a process.
    fn watch(&mut self, group: u32) -> std::io::Result<()> {
        self.tell(&format!("{group}\n"))
    }

    /// The command has ended: nothing is to be ended.
    fn release(&mut self) {
        let _ = self.tell("ended\n");
    }

    /// Begins to end the group.
    fn end_group(&mut self) {
        self.input = None;
    }

    /// Waits until there is nothing left to end.
    fn wait(&mut self) {
        let _ = self.shell.wait();
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.end_group();
        self.wait();
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use crate::cli::plan::command::*;

    fn decision() -> Decision {
        Decision {
            observed: Default::default(),
            predicted: None,
            c_p: 1.0,
            c_d: 1.0,
            raw_prefill: None,
            raw_decode: None,
            prefill: 3,
            decode: 4,
            held: false,
            reason: "why".into(),
            clamped_queries: 0,
        }
    }

    fn run_for(command: &str, seconds: f64) -> Finished {
        run(command, &decision(), "{}", Duration::from_secs_f64(seconds)).unwrap()
    }

    #[test]
    fn output_and_status_are_told() {
        let done = run_for(
            "cat; echo $REPLAY_PREFILL $REPLAY_DECODE $REPLAY_REASON; echo e >&2",
            20.0,
        );
        assert_eq!(done.outcome, Ok(()));
        assert_eq!(done.output, "{}3 4 why\ne\n");
        let failed = run_for("echo no; exit 3", 20.0);
        assert_eq!(failed.outcome, Err("exit status: 3".into()));
        let loud = run_for("head -c 1000000 /dev/zero | tr '\\0' x", 20.0);
        assert_eq!(loud.outcome, Ok(()));
        assert_eq!(
            loud.output.len(),
            LONGEST_OUTPUT + "\n(983616 more bytes)".len()
        );
        assert!(loud.output.ends_with("x\n(983616 more bytes)"));
    }

    /// Whether a process is running. A zombie, which has ended but has not been reaped, is not.
    fn runs(process: &str) -> bool {
        let state = std::fs::read_to_string(format!("/proc/{process}/stat"));
        state.is_ok_and(|state| !state.rsplit_once(") ").unwrap().1.starts_with('Z'))
    }

    #[test]
    fn the_whole_group_ends_with_its_time() {
        // The grandchild ignores SIGTERM and is killed.
        let stubborn = "trap '' TERM; sleep 1000 & echo $!; sleep 1000";
        for command in ["sleep 1000 & echo $!; sleep 1000", stubborn] {
            let start = Instant::now();
            let done = run_for(command, 0.3);
            let ended = Err("not finished after 0.3 s, and ended".into());
            assert_eq!(done.outcome, ended);
            assert!(start.elapsed() < Duration::from_secs(20));
            let grandchild = done.output.trim();
            assert!(!grandchild.is_empty());
            // A killed process needs a moment to end.
            let deadline = Instant::now() + Duration::from_secs(10);
            while runs(grandchild) {
                assert!(Instant::now() < deadline, "{command}: {grandchild}");
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }

    #[test]
    fn what_a_command_leaves_behind_does_not_hold_it() {
        let start = Instant::now();
        let done = run_for("sleep 7 & exit 0", 20.0);
        assert_eq!(done.outcome, Ok(()));
        assert!(start.elapsed() < Duration::from_secs(5));
        assert!(
            done.output.contains("keeps its output open"),
            "{}",
            done.output
        );
    }
}
