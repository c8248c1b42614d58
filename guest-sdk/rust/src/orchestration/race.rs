//! Waiting for the first of several futures.
//!
//! A tie (several are ready when the race is polled) goes to the first argument. The losers are dropped, which cancels
//! what they wait for; to keep one, race a `&mut` to it: awaitables are `Unpin`.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use super::children::Children;

/// Waits for the first of any number of futures of one type: its index and its output. Without futures it waits for ever.
pub fn race_all<F: Future>(futures: impl IntoIterator<Item = F>) -> RaceAll<F> {
    RaceAll(Children::new(futures))
}

/// Made by [`race_all`].
#[must_use = "nothing is waited for without `.await`"]
pub struct RaceAll<F: Future>(Children<F>);

impl<F: Future> Unpin for RaceAll<F> {}

impl<F: Future> Future for RaceAll<F> {
    type Output = (usize, F::Output);

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        self.0.in_own_order();
        match self.0.poll_next(cx) {
            Poll::Ready(Some(winner)) => {
                // The losers are dropped now, not when the caller lets go of this future.
                self.0 = Children::new([]);
                Poll::Ready(winner)
            }
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

/// Waits for the first future of a tuple, of different types:
/// `match race((order, cancelled)).await { OneOf2::First(order) => …, OneOf2::Second(_) => … }`
pub fn race<T: RaceTuple>(futures: T) -> impl Future<Output = T::Winner> {
    futures.race()
}

/// Tuples that [`race`] takes: two to four futures.
pub trait RaceTuple {
    /// Which one won, and its output.
    type Winner;
    /// See [`race`].
    fn race(self) -> impl Future<Output = Self::Winner>;
}

macro_rules! races {
    ($winner:ident: $($future:ident $nth:ident),+) => {
        /// Which future of a tuple won a race, and its output.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $winner<$($future),+> {
            $(#[doc = concat!(stringify!($nth), " of the tuple.")] $nth($future)),+
        }

        impl<$($future: Future),+> RaceTuple for ($($future,)+) {
            type Winner = $winner<$($future::Output),+>;

            #[allow(non_snake_case, reason = "the parts are named by their types")]
            fn race(self) -> impl Future<Output = Self::Winner> {
                let ($($future,)+) = self;
                let mut futures = Some(($(Box::pin($future),)+));
                poll_fn(move |cx| {
                    let Some(($($future,)+)) = &mut futures else { return Poll::Pending };
                    $(
                        if let Poll::Ready(output) = $future.as_mut().poll(cx) {
                            futures = None;
                            return Poll::Ready($winner::$nth(output));
                        }
                    )+
                    Poll::Pending
                })
            }
        }
    };
}

races!(OneOf2: A First, B Second);
races!(OneOf3: A First, B Second, C Third);
races!(OneOf4: A First, B Second, C Third, D Fourth);
