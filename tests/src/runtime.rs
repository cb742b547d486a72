//! The asynchronous runtime of the lab's programs.

/// Runs a future to completion on a runtime with two worker threads.
///
/// # Errors
/// Fails if the runtime cannot be started, or with the future's own error.
pub fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(work)
}
