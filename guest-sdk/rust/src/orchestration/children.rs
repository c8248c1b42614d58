//! Many futures under one: what `join_all` and `race_all` share.
//!
//! Each child has a waker of its own, so that a wake polls one child and a fan-in of n costs n polls, not n². The order in
//! which woken children are polled is the order of their wakes (at first: their own order). It is fixed here, and not left
//! to a library, because user code may issue commands from inside children: their order is part of the history.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as TaskContext, Poll, Wake, Waker};

pub(crate) struct Children<F: Future> {
    /// None: finished, or taken.
    slots: Vec<Option<Pin<Box<F>>>>,
    wakes: Arc<Wakes>,
    open: usize,
}

/// Which children want to be polled. Never contended, as guests have one thread; wakers must be `Send`, hence the mutex.
struct Wakes(Mutex<Woken>);

struct Woken {
    queue: VecDeque<usize>,
    queued: Vec<bool>,
    parent: Option<Waker>,
}

struct ChildWaker {
    index: usize,
    wakes: Arc<Wakes>,
}

impl Wakes {
    fn with<R>(&self, act: impl FnOnce(&mut Woken) -> R) -> R {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Wake for ChildWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let parent = self.wakes.with(|woken| {
            if !std::mem::replace(&mut woken.queued[self.index], true) {
                woken.queue.push_back(self.index);
            }
            woken.parent.take()
        });
        if let Some(parent) = parent {
            parent.wake();
        }
    }
}

impl<F: Future> Children<F> {
    pub(crate) fn new(futures: impl IntoIterator<Item = F>) -> Self {
        let slots: Vec<_> = futures.into_iter().map(|future| Some(Box::pin(future))).collect();
        let count = slots.len();
        let woken = Woken { queue: (0..count).collect(), queued: vec![true; count], parent: None };
        Self { slots, wakes: Arc::new(Wakes(Mutex::new(woken))), open: count }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The next child that is ready, with its index. None when all have finished.
    pub(crate) fn poll_next(&mut self, cx: &TaskContext<'_>) -> Poll<Option<(usize, F::Output)>> {
        if self.open == 0 {
            return Poll::Ready(None);
        }
        loop {
            let next = self.wakes.with(|woken| {
                let next = woken.queue.pop_front();
                match next {
                    Some(index) => woken.queued[index] = false,
                    None => woken.parent = Some(cx.waker().clone()),
                }
                next
            });
            let Some(index) = next else { return Poll::Pending };
            // A finished child may still be woken by a waker that it left behind.
            let Some(child) = &mut self.slots[index] else { continue };
            let waker = Waker::from(Arc::new(ChildWaker { index, wakes: Arc::clone(&self.wakes) }));
            if let Poll::Ready(output) = child.as_mut().poll(&mut TaskContext::from_waker(&waker)) {
                self.slots[index] = None;
                self.open -= 1;
                return Poll::Ready(Some((index, output)));
            }
        }
    }

    /// Lets the woken children run in their own order: for races, where ties go to the first argument.
    pub(crate) fn in_own_order(&self) {
        self.wakes.with(|woken| woken.queue.make_contiguous().sort_unstable());
    }
}
