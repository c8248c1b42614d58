//! Random orchestration programs and a model of their results.
