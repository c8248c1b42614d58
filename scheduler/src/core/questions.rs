//! Questions to orchestrators: passed on to a worker that can replay the instance, and its answer passed back.
//!
//! A question is no work: it leaves nothing in the store, takes no slot, and is lost with the worker's stream, which the client is told.

use std::time::Duration;

use super::ids::{InstanceId, RequestId, StreamId};
use super::message::{Effect, Question, QuestionOutcome, Refusal, Reply};
use super::partition::{Lookup, Partition};
use super::time::Timestamp;

/// How long an answer is waited for. Workers have limits of their own, which are far shorter.
const PATIENCE: Duration = Duration::from_secs(600);

/// A question that was asked and is not answered.
#[derive(Debug)]
pub(super) struct Asked {
    /// Whom.
    stream: StreamId,
    /// Who waits.
    request: RequestId,
    /// Until when.
    pub(super) until: Timestamp,
}

impl Partition {
    /// Passes a question on. The answer comes later, unless nobody can be asked.
    pub(super) fn ask(
        &mut self,
        request: RequestId,
        id: &InstanceId,
        name: String,
        input: Option<String>,
        lookup: &dyn Lookup,
    ) -> Result<(), Refusal> {
        if name.is_empty() {
            return Err(Refusal::Invalid("the name of the query is missing".into()));
        }
        self.check_payload("the query's input", input.as_deref())?;
        let Some(instance) = self.find(id, lookup)? else { return Err(Refusal::NotFound(id.clone())) };
        if instance.record.history_len == 0 {
            let text = format!("instance `{id}` has not begun yet: it has nothing to tell before its first step");
            return Err(Refusal::Precondition(text));
        }
        let (route, worker) = (instance.route(), instance.worker.clone());
        let record = &instance.record;
        let mut question = Question {
            number: 0,
            instance: id.clone(),
            execution: record.execution.as_str().into(),
            orchestrator: record.name.clone(),
            version: record.version.clone(),
            name,
            input,
        };
        // What was loaded to be asked about rests as before.
        self.touched.push(id.clone());
        let Some(stream) = self.dispatcher.respondent(&route, worker.as_deref(), self.asked) else {
            let version = question.version.map(|v| format!(" version `{v}`")).unwrap_or_default();
            let text = format!(
                "no durawasm host is connected that runs orchestrator `{}`{version}, so instance `{id}` cannot be asked: start \
                 one, or wait until one is connected",
                question.orchestrator
            );
            return Err(Refusal::Unserved(text));
        };
        self.asked += 1;
        question.number = self.asked;
        let until = self.now.after(PATIENCE);
        self.questions.insert(self.asked, Asked { stream, request, until });
        // What is asked about must be on disk: the worker reads it from there.
        self.effect(self.batch_seq, Effect::SendQuestion(stream, Box::new(question)));
        Ok(())
    }

    /// Passes an answer back. One to a question that this stream was not asked is ignored.
    pub(super) fn answer_question(&mut self, stream: StreamId, number: u64, outcome: QuestionOutcome) {
        if self.questions.get(&number).is_some_and(|asked| asked.stream == stream)
            && let Some(Asked { request, .. }) = self.questions.remove(&number)
        {
            self.reply(request, Ok(Reply::Answered(Box::new(outcome))));
        }
    }

    /// Tells those who wait for an answer from a stream that is gone.
    pub(super) fn lose_questions(&mut self, stream: StreamId) {
        let lost: Vec<u64> =
            self.questions.iter().filter(|(_, asked)| asked.stream == stream).map(|(n, _)| *n).collect();
        for number in lost {
            self.fail_question(number, "the worker that was asked is gone: ask again");
        }
    }

    /// Waits no longer for workers that have not answered for very long.
    pub(super) fn expire_questions(&mut self) {
        while let Some((&number, asked)) = self.questions.first_key_value()
            && asked.until <= self.now
        {
            self.fail_question(
                number,
                "the worker that was asked has not answered for ten minutes: look at its log, or ask again",
            );
        }
    }

    fn fail_question(&mut self, number: u64, text: &str) {
        if let Some(Asked { request, .. }) = self.questions.remove(&number) {
            self.reply(request, Err(Refusal::Unserved(text.into())));
        }
    }
}
