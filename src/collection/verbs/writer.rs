//! A stream of documents into a namespace: a bounded queue, batches, and an acknowledgement for
//! each document.
//!
//! One thread takes the documents that have gathered and commits them together. While it waits for
//! the disk the next batch gathers: the slower the disk, the larger the batches.

use std::collections::VecDeque;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};

use crate::collection::handle::Namespace;
use crate::document::Document;
use crate::error::{Error, Result};
use crate::hit::Receipt;
use crate::process;

/// The most documents in the queue.
const QUEUE: usize = 1_024;
/// The most bytes in the queue, unless one document alone has more.
const QUEUE_BYTES: usize = 64 << 20;
/// The most documents committed together.
const BATCH: usize = 1_000;
/// Bytes at which a batch takes no more.
const BATCH_BYTES: usize = 8 << 20;

/// A stream into a namespace, made by [`Namespace::writer`]. Dropping it waits until all that was
/// sent is committed or refused.
///
/// Threads may share a writer. Documents of one thread are committed in the order in which they
/// were sent.
pub struct Writer {
    shared: Arc<WriterShared>,
    thread: Option<JoinHandle<()>>,
}

/// A document on its way; returned by [`Writer::send`]. Either [`wait`](Ticket::wait) for it, or
/// await it: a ticket is a [`Future`] of any async runtime, with the same result.
#[must_use = "a document that is not waited for may not be written yet"]
pub struct Ticket {
    answer: Arc<Answer>,
}

/// Where the answer to a document is left for its ticket.
#[derive(Default)]
struct Answer {
    state: Mutex<AnswerState>,
    came: Condvar,
}

#[derive(Default)]
enum AnswerState {
    #[default]
    Waited,
    /// A task waits for it.
    Polled(Waker),
    Here(Result<Receipt>),
    Taken,
}

/// Why [`Writer::try_send`] did not take the document.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrySendError {
    /// The queue is full. The document is given back.
    #[error("the writer's queue is full")]
    Full(Document),
    /// The writer has stopped, for this reason.
    #[error(transparent)]
    Stopped(#[from] Error),
}

struct WriterShared {
    queue: Mutex<Queue>,
    /// Notified when a document comes, or the end.
    came: Condvar,
    /// Notified when documents leave the queue.
    went: Condvar,
}

#[derive(Default)]
struct Queue {
    sent: VecDeque<Sent>,
    n_bytes: usize,
    ended: bool,
    /// Whether the thread is gone.
    stopped: bool,
    /// Tasks that wait for room.
    wakers: Vec<Waker>,
}

struct Sent {
    document: Document,
    n_bytes: usize,
    answer: AnswerSender,
}

/// Leaves the answer to one document. If it is dropped before, the answer is `Closed`.
struct AnswerSender(Arc<Answer>);

impl Namespace {
    /// Starts a stream into this namespace, for programs that write all the time. Documents are
    /// upserted in batches, and each is acknowledged on its own, as durable as the handle asks
    /// ([`with_durability`](Namespace::with_durability)). At most 1,024 documents or 64 MiB wait in
    /// its queue.
    ///
    /// # Errors
    /// `CollectionNotFound` if the collection was dropped, `Closed` if the database was; `Io` if no
    /// thread can be started.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let db = vectrove::Database::open(folder.path())?;
    /// # use vectrove::{CollectionConfig, Document};
    /// # let notes = db.get_or_create_collection("notes", CollectionConfig::new(2))?;
    /// let writer = notes.writer()?;
    /// let tickets: Vec<_> =
    ///     (0..100u64).map(|n| writer.send(Document::new([1.0, n as f32]).id(n))).collect::<Result<_, _>>()?;
    /// for ticket in tickets {
    ///     println!("written by commit {}", ticket.wait()?.commit);
    /// }
    /// assert_eq!(notes.count(None)?, 100);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn writer(&self) -> Result<Writer> {
        self.state().opened()?;
        let shared = Arc::new(WriterShared { queue: Mutex::default(), came: Condvar::new(), went: Condvar::new() });
        let run = {
            let (shared, namespace) = (shared.clone(), self.clone());
            move || {
                let _stopped = WriterStopping(&shared);
                while let Some(batch) = shared.take() {
                    commit(&namespace, batch);
                }
            }
        };
        let thread = std::thread::Builder::new().name("vectrove-writer".into()).spawn(run);
        let thread = thread.map_err(|error| Error::io("starting a writer for", self.namespace_name(), error))?;
        Ok(Writer { shared, thread: Some(thread) })
    }
}

impl Writer {
    /// Sends a document, waiting while the queue is full.
    ///
    /// # Errors
    /// `Closed` if the writer has stopped. Errors of the document itself come from its ticket.
    pub fn send(&self, document: Document) -> Result<Ticket> {
        process::check()?;
        let n_bytes = document.size_hint();
        let mut queue = self.shared.queue.lock();
        while queue.is_full(n_bytes) && !queue.stopped {
            self.shared.went.wait(&mut queue);
        }
        self.push(&mut queue, document, n_bytes)
    }

    /// Sends a document if there is room in the queue.
    ///
    /// # Errors
    /// [`Full`](TrySendError::Full), with the document, if the queue has no room;
    /// [`Stopped`](TrySendError::Stopped) if the writer has stopped.
    pub fn try_send(&self, document: Document) -> Result<Ticket, TrySendError> {
        process::check()?;
        let n_bytes = document.size_hint();
        let mut queue = self.shared.queue.lock();
        if queue.is_full(n_bytes) && !queue.stopped {
            return Err(TrySendError::Full(document));
        }
        Ok(self.push(&mut queue, document, n_bytes)?)
    }

    /// Sends a document once there is room in the queue, without blocking: the way for async
    /// programs, with [`std::future::poll_fn`]. It takes the document out of `document` when it is
    /// ready. While the queue is full it leaves the document there, and wakes the task once
    /// documents have left the queue.
    ///
    /// # Errors
    /// As [`send`](Writer::send); `InvalidConfig` if `document` is `None`.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let db = vectrove::Database::open(folder.path())?;
    /// # use vectrove::{CollectionConfig, Document, Receipt, Result, Writer};
    /// # let notes = db.get_or_create_collection("notes", CollectionConfig::new(2))?;
    /// async fn write(writer: &Writer, document: Document) -> Result<Receipt> {
    ///     let mut document = Some(document);
    ///     let ticket = std::future::poll_fn(|context| writer.poll_send(&mut document, context)).await?;
    ///     ticket.await
    /// }
    /// # let writer = notes.writer()?;
    /// # let mut future = std::pin::pin!(write(&writer, Document::new([1.0, 2.0])));
    /// # let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    /// # while future.as_mut().poll(&mut context).is_pending() {}
    /// # use std::future::Future;
    /// # assert_eq!(notes.count(None)?, 1);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn poll_send(&self, document: &mut Option<Document>, context: &mut Context<'_>) -> Poll<Result<Ticket>> {
        if let Err(error) = process::check() {
            return Poll::Ready(Err(error));
        }
        let Some(n_bytes) = document.as_ref().map(Document::size_hint) else {
            let reason = "expected a document to send, got none".into();
            return Poll::Ready(Err(Error::InvalidConfig { field: "document", reason }));
        };
        let waker = context.waker().clone();
        let mut queue = self.shared.queue.lock();
        if queue.is_full(n_bytes) && !queue.stopped {
            if !queue.wakers.iter().any(|known| known.will_wake(&waker)) {
                queue.wakers.push(waker);
            }
            return Poll::Pending;
        }
        match document.take() {
            Some(document) => Poll::Ready(self.push(&mut queue, document, n_bytes)),
            None => Poll::Pending,
        }
    }

    /// How many documents wait in the queue; 0 in a forked child.
    pub fn len(&self) -> usize {
        if process::is_forked() {
            return 0;
        }
        self.shared.queue.lock().sent.len()
    }

    /// Whether no document waits in the queue.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn push(&self, queue: &mut Queue, document: Document, n_bytes: usize) -> Result<Ticket> {
        if queue.stopped {
            return Err(Error::Closed);
        }
        let answer = Arc::new(Answer::default());
        queue.sent.push_back(Sent { document, n_bytes, answer: AnswerSender(answer.clone()) });
        queue.n_bytes += n_bytes;
        self.shared.came.notify_one();
        Ok(Ticket { answer })
    }
}

impl Ticket {
    /// Waits until the document is committed, and as durable as the writer's handle asks
    /// ([`Namespace::with_durability`]).
    ///
    /// # Errors
    /// As [`upsert`](Namespace::upsert); an error of several documents at once is
    /// [`Error::Shared`].
    pub fn wait(self) -> Result<Receipt> {
        process::check()?;
        let mut state = self.answer.state.lock();
        loop {
            if let Poll::Ready(answer) = state.take() {
                return answer;
            }
            self.answer.came.wait(&mut state);
        }
    }
}

impl Future for Ticket {
    type Output = Result<Receipt>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<Receipt>> {
        if let Err(error) = process::check() {
            return Poll::Ready(Err(error));
        }
        let waker = context.waker().clone();
        let mut state = self.answer.state.lock();
        let answer = state.take();
        // A waker may own a task that ends with it: none is dropped while the lock is held.
        let before = answer.is_pending().then(|| std::mem::replace(&mut *state, AnswerState::Polled(waker)));
        drop(state);
        drop(before);
        answer
    }
}

impl AnswerState {
    /// Takes the answer, if it is here. An answer that was taken before is `Closed`.
    fn take(&mut self) -> Poll<Result<Receipt>> {
        match self {
            AnswerState::Waited | AnswerState::Polled(_) => Poll::Pending,
            AnswerState::Taken => Poll::Ready(Err(Error::Closed)),
            AnswerState::Here(_) => match std::mem::replace(self, AnswerState::Taken) {
                AnswerState::Here(answer) => Poll::Ready(answer),
                _ => Poll::Pending,
            },
        }
    }
}

impl Queue {
    fn is_full(&self, n_bytes: usize) -> bool {
        self.sent.len() >= QUEUE || (!self.sent.is_empty() && self.n_bytes + n_bytes > QUEUE_BYTES)
    }
}

impl WriterShared {
    /// The next batch; `None` after the last.
    fn take(&self) -> Option<Vec<Sent>> {
        let mut queue = self.queue.lock();
        while queue.sent.is_empty() {
            if queue.ended {
                return None;
            }
            self.came.wait(&mut queue);
        }
        let (mut batch, mut n_bytes) = (Vec::new(), 0);
        while batch.len() < BATCH && n_bytes < BATCH_BYTES {
            let Some(sent) = queue.sent.pop_front() else { break };
            n_bytes += sent.n_bytes;
            batch.push(sent);
        }
        queue.n_bytes -= n_bytes;
        let wakers = std::mem::take(&mut queue.wakers);
        drop(queue);
        self.went.notify_all();
        wake(wakers);
        Some(batch)
    }
}

/// Wakes tasks. A waker is the program's code: its panic must not end the thread that writes.
fn wake(wakers: impl IntoIterator<Item = Waker>) {
    for waker in wakers {
        if std::panic::catch_unwind(AssertUnwindSafe(|| waker.wake())).is_err() {
            tracing::error!("a waker of a task that writes had panicked");
        }
    }
}

/// Marks the thread as gone when dropped, also by a panic.
struct WriterStopping<'s>(&'s WriterShared);

impl Drop for WriterStopping<'_> {
    fn drop(&mut self) {
        let mut queue = self.0.queue.lock();
        queue.stopped = true;
        let (sent, wakers) = (std::mem::take(&mut queue.sent), std::mem::take(&mut queue.wakers));
        drop(queue);
        self.0.went.notify_all();
        drop(sent);
        wake(wakers);
    }
}

/// Commits a batch. A refused document is taken out and its sender told; the others go on.
fn commit(namespace: &Namespace, mut batch: Vec<Sent>) {
    while !batch.is_empty() {
        match namespace.upsert_many(batch.iter().map(|sent| sent.document.clone())) {
            Ok(receipt) => {
                for (sent, id) in batch.drain(..).zip(receipt.ids) {
                    let receipt = Receipt { commit: receipt.commit, ids: vec![id], n_changed: 1, repeated: false };
                    sent.answer(Ok(receipt));
                }
            }
            Err(Error::InBatch { index, source, .. }) if index < batch.len() => {
                batch.remove(index).answer(Err(*source))
            }
            Err(error) => {
                let error = Arc::new(error);
                batch.drain(..).for_each(|sent| sent.answer(Err(Error::Shared(error.clone()))));
            }
        }
    }
}

impl Sent {
    /// Answers the ticket, whether or not its holder waits.
    fn answer(self, answer: Result<Receipt>) {
        self.answer.leave(answer);
    }
}

impl AnswerSender {
    /// Leaves the answer, unless there is one, and wakes its ticket.
    fn leave(&self, answer: Result<Receipt>) {
        let mut state = self.0.state.lock();
        let before = match &*state {
            AnswerState::Here(_) | AnswerState::Taken => return,
            AnswerState::Waited | AnswerState::Polled(_) => std::mem::replace(&mut *state, AnswerState::Here(answer)),
        };
        drop(state);
        self.0.came.notify_all();
        if let AnswerState::Polled(waker) = before {
            wake([waker]);
        }
    }
}

impl Drop for AnswerSender {
    fn drop(&mut self) {
        // In a forked child the lock may be held for good.
        if !process::is_forked() {
            self.leave(Err(Error::Closed));
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if process::is_forked() {
            // A forked child does not have the thread, which may have held the lock.
            std::mem::forget(self.thread.take());
            return;
        }
        self.shared.queue.lock().ended = true;
        self.shared.came.notify_one();
        let thread = self.thread.take();
        // A task that the thread wakes may be the last to hold the writer: a thread does not wait
        // for itself.
        let thread = thread.filter(|thread| thread.thread().id() != std::thread::current().id());
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("a writer had panicked");
        }
    }
}
