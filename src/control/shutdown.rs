//! Shutdown: SIGTERM and Ctrl-C become one word that every part can wait for.
//!
//! A thread of its own, named `signals`, that sleeps in its runtime. It ends nothing itself but the process, at the
//! second signal. Invariant: the word goes from false to true once, and never back.

use std::io;

use tokio::runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Catches the signals from now on. The receiver says true after the first; the second ends the process at once.
///
/// # Errors
/// When the system gives no thread or no signal handler.
pub(super) fn on_signals() -> io::Result<watch::Receiver<bool>> {
    let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
    let signals = {
        // Registered here, not on the thread: a signal right behind this call must not kill the process.
        let _entered = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
    };
    let (sender, receiver) = watch::channel(false);
    let wait = move || runtime.block_on(watch_signals(signals, sender));
    std::thread::Builder::new().name("signals".to_owned()).spawn(wait)?;
    Ok(receiver)
}

async fn watch_signals((mut terminate, mut interrupt): (Signal, Signal), sender: watch::Sender<bool>) {
    let first = either(&mut terminate, &mut interrupt).await;
    tracing::info!(signal = first, "shutting down; a second signal ends at once");
    sender.send_replace(true);
    let second = either(&mut terminate, &mut interrupt).await;
    // Not by the log: its thread would not come to write it any more.
    eprintln!("tapecast: ended at once by a second signal: {second}");
    std::process::exit(1);
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}
