//! The queues over HTTP, for the official clients: AWS JSON 1.0 on one path, signatures unread.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Bytes;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::serve::{IncomingStream, Listener};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::api::Api;
use super::error::SqsError;
use super::faults::Fault;
use super::service::Sqs;
use super::wire::{ErrorResponse, Operation};

/// Room for a full batch: escapes and base64 make a mebibyte of messages longer on the wire.
const REQUEST_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The request header with the X-Ray trace that a call belongs to. The SDK sets it in a Lambda
/// function.
const TRACE_HEADER: &str = "x-amzn-trace-id";

/// Serves until `shutdown`. Calls under way are answered; long polls then end with nothing.
pub fn serve(
    sqs: Sqs,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> BoxFuture<'static, io::Result<()>> {
    // Boxed, so that no caller compiles the server again.
    run(sqs, listener, shutdown.boxed()).boxed()
}

async fn run(sqs: Sqs, listener: TcpListener, shutdown: BoxFuture<'static, ()>) -> io::Result<()> {
    let (stop, stopping) = watch::channel(());
    let server = Server { sqs, address: listener.local_addr()?, stopping };
    let router = Router::new()
        .route("/", post(answer))
        .route("/{*path}", post(answer))
        .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
        .with_state(server);
    let service = router.into_make_service_with_connect_info::<Line>();
    axum::serve(Lines(listener), service)
        .with_graceful_shutdown(async move {
            shutdown.await;
            drop(stop);
        })
        .await
}

#[derive(Clone)]
struct Server {
    sqs: Sqs,
    address: SocketAddr,
    /// Its other end is dropped at shutdown.
    stopping: watch::Receiver<()>,
}

/// One call. The queue stands in the request: the path says nothing.
async fn answer(
    State(server): State<Server>,
    ConnectInfo(line): ConnectInfo<Line>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let result = match operation(&headers) {
        Ok(operation) => server.call(operation, &line, &headers, &body).await,
        Err(error) => Err(error),
    };
    response(&server.sqs.request_id(), result)
}

fn operation(headers: &HeaderMap) -> Result<Operation, SqsError> {
    let target = headers.get("x-amz-target").and_then(|value| value.to_str().ok());
    Operation::from_target(target.unwrap_or_default())
}

impl Server {
    async fn call(
        &self,
        operation: Operation,
        line: &Line,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Vec<u8>, SqsError> {
        let fault = self.sqs.take_fault(operation);
        match fault {
            Some(Fault::Unavailable) => return Err(SqsError::ServiceUnavailable),
            Some(Fault::Internal) => return Err(SqsError::InternalFailure),
            Some(Fault::LostAnswer) | None => {}
        }
        let trace = headers.get(TRACE_HEADER).and_then(|value| value.to_str().ok());
        let trace = trace.map(str::to_owned);
        let api = Api { sqs: &self.sqs, base: self.base(headers), trace };
        let mut stopping = self.stopping.clone();
        let result = tokio::select! {
            // The call first: what it took from a queue must not be dropped.
            biased;
            result = api.call(operation, body) => result,
            _ = stopping.changed() => Ok(b"{}".to_vec()),
        };
        tracing::debug!(?operation, error = ?result.as_ref().err(), "sqs call");
        if fault == Some(Fault::LostAnswer) {
            line.cut();
        }
        result
    }

    /// As the caller reached this server, so that the URLs it gets work for it.
    fn base(&self, headers: &HeaderMap) -> String {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        host.map_or_else(|| format!("http://{}", self.address), |host| format!("http://{host}"))
    }
}

fn response(request_id: &str, result: Result<Vec<u8>, SqsError>) -> Response {
    let mut response = match result {
        Ok(body) => body.into_response(),
        Err(error) => error_response(&error),
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.0"));
    if let Ok(request_id) = HeaderValue::from_str(request_id) {
        headers.insert("x-amzn-requestid", request_id);
    }
    response
}

fn error_response(error: &SqsError) -> Response {
    let wire = error.wire();
    let status = StatusCode::from_u16(wire.status).unwrap_or(StatusCode::BAD_REQUEST);
    let kind = format!("com.amazonaws.sqs#{}", wire.shape);
    let body = ErrorResponse { kind, message: error.to_string() };
    let body = serde_json::to_vec(&body).unwrap_or_default();
    let query_error = format!("{};{}", wire.code, wire.fault());
    (status, [("x-amzn-query-error", query_error)], body).into_response()
}

/// Accepts connections that can be cut before their answer.
struct Lines(TcpListener);

/// The handle by which a call cuts its own connection.
#[derive(Clone)]
struct Line {
    cut: Arc<AtomicBool>,
}

impl Line {
    fn cut(&self) {
        self.cut.store(true, Ordering::Release);
    }
}

/// A connection that writes nothing more once it is cut.
struct LineStream {
    stream: TcpStream,
    line: Line,
}

impl Listener for Lines {
    type Io = LineStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        let line = Line { cut: Arc::new(AtomicBool::new(false)) };
        (LineStream { stream, line }, address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

impl Connected<IncomingStream<'_, Lines>> for Line {
    fn connect_info(stream: IncomingStream<'_, Lines>) -> Self {
        stream.io().line.clone()
    }
}

impl LineStream {
    fn writable(self: Pin<&mut Self>) -> io::Result<Pin<&mut TcpStream>> {
        if self.line.cut.load(Ordering::Acquire) {
            return Err(io::Error::from(io::ErrorKind::ConnectionReset));
        }
        Ok(Pin::new(&mut self.get_mut().stream))
    }
}

impl AsyncRead for LineStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for LineStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.writable() {
            Ok(stream) => stream.poll_write(cx, buf),
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.writable() {
            Ok(stream) => stream.poll_write_vectored(cx, bufs),
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
