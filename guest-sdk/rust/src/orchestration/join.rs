//! Waiting for all of several futures, which run concurrently.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use super::children::Children;

/// Waits for all futures; their outputs come in the order of the futures.
///
/// Any number of them: each wake polls one child.
pub fn join_all<F: Future>(futures: impl IntoIterator<Item = F>) -> JoinAll<F> {
    let children = Children::new(futures);
    JoinAll { outputs: (0..children.len()).map(|_| None).collect(), children }
}

/// Waits for all futures, or for the first failure in the order of the history. The others are then dropped: their outcomes
/// are ignored, though activities and children that have begun run on.
pub fn try_join_all<T, E, F: Future<Output = Result<T, E>>>(futures: impl IntoIterator<Item = F>) -> TryJoinAll<F, T> {
    let children = Children::new(futures);
    TryJoinAll { outputs: (0..children.len()).map(|_| None).collect(), children }
}

/// Made by [`join_all`].
#[must_use = "nothing is waited for without `.await`"]
pub struct JoinAll<F: Future> {
    children: Children<F>,
    outputs: Vec<Option<F::Output>>,
}

/// Made by [`try_join_all`].
#[must_use = "nothing is waited for without `.await`"]
pub struct TryJoinAll<F: Future, T> {
    children: Children<F>,
    outputs: Vec<Option<T>>,
}

// The children are boxed and the outputs are never pinned.
impl<F: Future> Unpin for JoinAll<F> {}
impl<F: Future, T> Unpin for TryJoinAll<F, T> {}

impl<F: Future> Future for JoinAll<F> {
    type Output = Vec<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        loop {
            match self.children.poll_next(cx) {
                Poll::Ready(Some((index, output))) => self.outputs[index] = Some(output),
                Poll::Ready(None) => return Poll::Ready(collect(&mut self.outputs)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl<T, E, F: Future<Output = Result<T, E>>> Future for TryJoinAll<F, T> {
    type Output = Result<Vec<T>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        loop {
            match self.children.poll_next(cx) {
                Poll::Ready(Some((index, Ok(output)))) => self.outputs[index] = Some(output),
                Poll::Ready(Some((_, Err(error)))) => {
                    self.children = Children::new([]);
                    return Poll::Ready(Err(error));
                }
                Poll::Ready(None) => return Poll::Ready(Ok(collect(&mut self.outputs))),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

fn collect<T>(outputs: &mut Vec<Option<T>>) -> Vec<T> {
    std::mem::take(outputs).into_iter().map(|output| output.expect("every child has finished")).collect()
}

/// Waits for all futures of a tuple, of different types: `let (a, b) = join((a, b)).await;`
pub fn join<T: JoinTuple>(futures: T) -> impl Future<Output = T::Outputs> {
    futures.join()
}

/// Waits for all futures of a tuple, or for the first failure: `let (a, b) = try_join((a, b)).await?;`
pub fn try_join<E, T: TryJoinTuple<E>>(futures: T) -> impl Future<Output = Result<T::Outputs, E>> {
    futures.try_join()
}

/// Tuples that [`join`] takes: two to eight futures.
pub trait JoinTuple {
    /// The outputs of all.
    type Outputs;
    /// See [`join`].
    fn join(self) -> impl Future<Output = Self::Outputs>;
}

/// Tuples that [`try_join`] takes: two to eight futures with results of one error type.
pub trait TryJoinTuple<E> {
    /// The outputs of all.
    type Outputs;
    /// See [`try_join`].
    fn try_join(self) -> impl Future<Output = Result<Self::Outputs, E>>;
}

/// A future, then its output.
enum Part<F: Future> {
    Running(Pin<Box<F>>),
    Finished(Option<F::Output>),
}

impl<F: Future> Part<F> {
    fn new(future: F) -> Self {
        Self::Running(Box::pin(future))
    }

    /// Whether it has finished.
    fn poll(&mut self, cx: &mut TaskContext<'_>) -> bool {
        if let Self::Running(future) = self {
            match future.as_mut().poll(cx) {
                Poll::Ready(output) => *self = Self::Finished(Some(output)),
                Poll::Pending => return false,
            }
        }
        true
    }

    fn take(&mut self) -> F::Output {
        match self {
            Self::Finished(output) => output.take().expect("an output is taken once"),
            Self::Running(_) => unreachable!("an output is taken when all have finished"),
        }
    }
}

impl<T, E, F: Future<Output = Result<T, E>>> Part<F> {
    fn take_error(&mut self) -> Option<E> {
        match self {
            Self::Finished(output @ Some(Err(_))) => output.take().and_then(Result::err),
            _ => None,
        }
    }
}

macro_rules! tuples {
    ($($future:ident $output:ident),+) => {
        impl<$($future: Future),+> JoinTuple for ($($future,)+) {
            type Outputs = ($($future::Output,)+);

            #[allow(non_snake_case, reason = "the parts are named by their types")]
            fn join(self) -> impl Future<Output = Self::Outputs> {
                let ($($future,)+) = self;
                $(let mut $future = Part::new($future);)+
                poll_fn(move |cx| {
                    let mut finished = true;
                    $(finished &= $future.poll(cx);)+
                    if finished { Poll::Ready(($($future.take(),)+)) } else { Poll::Pending }
                })
            }
        }

        impl<Fail, $($output, $future: Future<Output = Result<$output, Fail>>),+> TryJoinTuple<Fail> for ($($future,)+) {
            type Outputs = ($($output,)+);

            #[allow(non_snake_case, reason = "the parts are named by their types")]
            fn try_join(self) -> impl Future<Output = Result<Self::Outputs, Fail>> {
                let ($($future,)+) = self;
                $(let mut $future = Part::new($future);)+
                poll_fn(move |cx| {
                    let mut finished = true;
                    $(
                        finished &= $future.poll(cx);
                        if let Some(error) = $future.take_error() {
                            return Poll::Ready(Err(error));
                        }
                    )+
                    if !finished {
                        return Poll::Pending;
                    }
                    Poll::Ready(Ok(($(match $future.take() {
                        Ok(output) => output,
                        Err(error) => return Poll::Ready(Err(error)),
                    },)+)))
                })
            }
        }
    };
}

tuples!(A RA, B RB);
tuples!(A RA, B RB, C RC);
tuples!(A RA, B RB, C RC, D RD);
tuples!(A RA, B RB, C RC, D RD, E RE);
tuples!(A RA, B RB, C RC, D RD, E RE, F RF);
tuples!(A RA, B RB, C RC, D RD, E RE, F RF, G RG);
tuples!(A RA, B RB, C RC, D RD, E RE, F RF, G RG, H RH);
