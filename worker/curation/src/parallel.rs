//! Work on many rows by as many threads as help, with the result that one thread gives.

use std::thread;

/// Threads that work on rows. What they do is bound by memory beyond a few, and a worker's other jobs want processors too.
const THREADS: usize = 2;

/// Fewer items than this are done sooner than a thread starts.
const ITEMS_MIN: usize = 512;

/// What `work` makes of each item, in the order of the items.
pub(crate) fn map<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    if items.len() < ITEMS_MIN {
        return items.iter().map(work).collect();
    }
    let work = &work;
    thread::scope(|scope| {
        let parts = items.chunks(items.len().div_ceil(THREADS));
        let threads: Vec<_> =
            parts.map(|part| scope.spawn(move || part.iter().map(work).collect::<Vec<R>>())).collect();
        let mut all = Vec::with_capacity(items.len());
        for thread in threads {
            // What went wrong in a thread goes wrong here.
            all.append(&mut thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        all
    })
}

/// The same where an item makes `width` numbers, which `work` writes into the slice that it is given.
pub(crate) fn fill<T: Sync>(items: &[T], width: usize, work: impl Fn(&T, &mut [u32]) + Sync) -> Vec<u32> {
    let mut all = vec![0; items.len() * width];
    if items.is_empty() || width == 0 {
        return all;
    }
    let work = &work;
    let part = if items.len() < ITEMS_MIN { items.len() } else { items.len().div_ceil(THREADS) };
    thread::scope(|scope| {
        for (items, numbers) in items.chunks(part).zip(all.chunks_mut(part * width)) {
            scope.spawn(move || {
                for (item, numbers) in items.iter().zip(numbers.chunks_mut(width)) {
                    work(item, numbers);
                }
            });
        }
    });
    all
}
