use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// A connection whose writes fail once the other side has taken nothing for some time. The time runs only while
/// there is something to write, and begins anew with each byte that goes: a slow client gets its answer, and one
/// that does not read costs its connection.
pub(crate) struct WriteTimeout<S> {
    stream: S,
    time: Duration,
    /// Runs while a write waits.
    waits: Option<Pin<Box<Sleep>>>,
}

impl<S> WriteTimeout<S> {
    pub(crate) fn new(stream: S, time: Duration) -> Self {
        Self {
            stream,
            time,
            waits: None,
        }
    }

    /// What has become of a write, or that it has waited for too long.
    fn limited(
        &mut self,
        written: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.waits = None;
            return written;
        }
        let time = self.time;
        let waits = self.waits.get_or_insert_with(|| Box::pin(sleep(time)));
        waits.as_mut().poll(context).map(|()| {
            let reason = format!("nothing was read for {} s", time.as_secs_f64());
            Err(io::Error::new(io::ErrorKind::TimedOut, reason))
        })
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteTimeout<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteTimeout<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.limited(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.limited(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Of TCP it never waits, nor does the end of writing.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// Takes a byte after each pause.
    struct Slow {
        pause: Duration,
        waits: Option<Pin<Box<Sleep>>>,
    }

    impl AsyncWrite for Slow {
        fn poll_write(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            _bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let pause = self.pause;
            let waits = self.waits.get_or_insert_with(|| Box::pin(sleep(pause)));
            let taken = waits.as_mut().poll(context).map(|()| Ok(1));
            if taken.is_ready() {
                self.waits = None;
            }
            taken
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn what_is_slow_and_goes_on_is_not_cut_off() {
        let slow = Slow {
            pause: Duration::from_millis(20),
            waits: None,
        };
        let mut stream = WriteTimeout::new(slow, Duration::from_millis(100));
        for _ in 0..10 {
            let written = poll_fn(|context| Pin::new(&mut stream).poll_write(context, b"ab"));
            assert_eq!(written.await.unwrap(), 1);
        }
        stream.stream.pause = Duration::from_secs(60);
        let written = poll_fn(|context| Pin::new(&mut stream).poll_write(context, b"ab"));
        let error = written.await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(error.to_string(), "nothing was read for 0.1 s");
    }
}
