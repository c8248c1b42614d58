//! Questions to orchestrators: passed on to a worker that can replay the instance, and its answer passed back.
//!
//! A question is no work: it leaves nothing in the store, takes no slot, and is lost with the worker's stream, which the client is told.

use super::ids::{InstanceId, RequestId, StreamId};
use super::message::{Effect, Question, QuestionOutcome, Refusal, Reply};
use super::partition::{Lookup, Partition};

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
        let Some(stream) = self.dispatcher.respondent(&route, worker.as_deref()) else {
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
        self.questions.insert(self.asked, (stream, request));
        // What is asked about must be on disk: the worker reads it from there.
        self.effect(self.batch_seq, Effect::SendQuestion(stream, Box::new(question)));
        Ok(())
    }

    /// Passes an answer back. One to a question that this stream was not asked is ignored.
    pub(super) fn answer_question(&mut self, stream: StreamId, number: u64, outcome: QuestionOutcome) {
        if self.questions.get(&number).is_some_and(|(asked, _)| *asked == stream)
            && let Some((_, request)) = self.questions.remove(&number)
        {
            self.reply(request, Ok(Reply::Answered(Box::new(outcome))));
        }
    }

    /// Tells those who wait for an answer from a stream that is gone.
    pub(super) fn lose_questions(&mut self, stream: StreamId) {
        let lost: Vec<u64> = self.questions.iter().filter(|(_, (s, _))| *s == stream).map(|(n, _)| *n).collect();
        for number in lost {
            if let Some((_, request)) = self.questions.remove(&number) {
                let text = "the worker that was asked is gone: ask again";
                self.reply(request, Err(Refusal::Unserved(text.into())));
            }
        }
    }
}
