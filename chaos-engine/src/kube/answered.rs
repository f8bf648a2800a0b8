//! No answer is waited for for ever. A server, or what stands before one, that takes a request and says nothing, or stops in the
//! middle of its answer, has lost it as far as anybody knows. Watches and logs that are followed say nothing for as long as
//! nothing happens, and are as long as they are.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{Request, Response};
use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use kube::client::Body;
use tokio::time::{Sleep, sleep, timeout};
use tower::{BoxError, Layer, Service};

/// There is no answer, or no more of one: nobody knows what became of what was asked for.
#[derive(Debug, thiserror::Error)]
#[error("no answer within {} s", .0.as_secs())]
pub struct Unanswered(Duration);

/// For so long an answer may take to begin, and each piece of it to come.
#[derive(Debug, Clone, Copy)]
pub(super) struct AnswerWithin(pub(super) Duration);

impl<S> Layer<S> for AnswerWithin {
    type Service = Answered<S>;

    fn layer(&self, inner: S) -> Answered<S> {
        Answered { within: self.0, inner }
    }
}

/// A service whose answers come in time, or never.
#[derive(Debug, Clone)]
pub(super) struct Answered<S> {
    within: Duration,
    inner: S,
}

impl<S, B> Service<Request<Body>> for Answered<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Pieces<B>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let within = (!is_long(request.uri().query())).then_some(self.within);
        let begun = self.inner.call(request).map(move |answer| match answer {
            Ok(response) => Ok(response.map(|body| Pieces { body: Box::pin(body), within, silence: None })),
            Err(error) => Err::<_, BoxError>(error.into()),
        });
        let Some(within) = within else { return begun.boxed() };
        timeout(within, begun).map(move |answer| answer.unwrap_or_else(|_| Err(Unanswered(within).into()))).boxed()
    }
}

/// Whether the answer to this is meant to be long.
fn is_long(query: Option<&str>) -> bool {
    let is_asked = |pair: &str| matches!(pair, "watch=true" | "watch=1" | "follow=true" | "follow=1");
    query.is_some_and(|query| query.split('&').any(is_asked))
}

/// The body of an answer.
pub(super) struct Pieces<B> {
    body: Pin<Box<B>>,
    /// For so long a piece may take; absent: for ever.
    within: Option<Duration>,
    /// How long it may go on to say nothing. Only while somebody waits: whoever reads slowly has not lost the answer.
    silence: Option<Pin<Box<Sleep>>>,
}

impl<B> HttpBody for Pieces<B>
where
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = this.body.as_mut().poll_frame(context) {
            this.silence = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let Some(within) = this.within else { return Poll::Pending };
        let silence = this.silence.get_or_insert_with(|| Box::pin(sleep(within)));
        silence.as_mut().poll(context).map(|()| Some(Err(Unanswered(within).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::stream::{self, StreamExt as _};
    use http_body_util::{BodyExt as _, StreamBody};
    use kube::Client;

    use super::*;

    const WITHIN: Duration = Duration::from_secs(10);

    /// A client of a server that begins each answer and never ends it.
    fn client() -> Client {
        let server = tower::service_fn(|_: Request<Body>| async {
            let begun = stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"{")))]);
            Ok::<_, Infallible>(Response::new(StreamBody::new(begun.chain(stream::pending()))))
        });
        Client::new(AnswerWithin(WITHIN).layer(server), "default")
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_stops_in_the_middle_is_lost_and_a_watch_is_not() {
        for (path, is_lost) in [
            ("/api/v1/pods", true),
            ("/api/v1/pods?limit=5&watch=false", true),
            ("/api/v1/pods?&watch=true", false),
            ("/api/v1/namespaces/n/pods/p/log?&follow=true", false),
        ] {
            let request = Request::get(path).body(Body::empty()).unwrap();
            let read = async { client().send(request).await.unwrap().into_body().collect().await };
            let read = timeout(WITHIN * 100, read).await;
            assert_eq!(read.is_ok(), is_lost, "{path}");
            if let Ok(read) = read {
                let told = crate::kube::told(&read.map(|_| ()).unwrap_err());
                assert!(told.ends_with("no answer within 10 s"), "{told}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_reads_slowly_has_not_lost_the_answer() {
        let piece = || Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"a")));
        // Each comes a moment after somebody waits for it.
        let pieces = stream::iter([piece(), piece()]).then(|piece| async {
            tokio::task::yield_now().await;
            piece
        });
        let body = StreamBody::new(pieces);
        let mut body = Pieces { body: Box::pin(body), within: Some(WITHIN), silence: None };
        for _ in 0..2 {
            assert!(body.frame().await.unwrap().is_ok());
            sleep(WITHIN * 2).await;
        }
        assert!(body.frame().await.is_none());
    }
}
