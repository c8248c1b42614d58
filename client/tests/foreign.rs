//! A scheduler that is not ours: it knows no call of `durawasm.v1`, and perhaps not all of the protocol.

#![allow(clippy::unwrap_used, reason = "the whole file is a test: what is unwrapped here fails it")]

use std::time::Duration;

use durawasm_client::{Client, Connection, EntityCall, EntityId, ErrorKind, ForkOptions, InstanceFilter, InstanceId};
use durawasm_errors::CodedError;
use tonic::{service::Routes, transport::Server};

/// A server without any service: every call is UNIMPLEMENTED.
async fn empty() -> Client {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    let incoming = tonic::transport::server::TcpIncoming::from(tokio::net::TcpListener::from_std(listener).unwrap());
    tokio::spawn(Server::builder().add_routes(Routes::default()).serve_with_incoming(incoming));
    Client::connect(Connection::to(format!("http://{address}"))).await.unwrap()
}

#[tokio::test]
async fn what_only_our_scheduler_has_is_said_with_what_there_is_instead() {
    let client = empty().await;
    let id = InstanceId::new("a").unwrap();
    let reset = client.reset(&id, 0, Default::default()).await.unwrap_err();
    let fork = client.fork(&id, 0, ForkOptions::default()).await.unwrap_err();
    let query = client.query(&id, "x", None).await.unwrap_err();
    for (error, what) in [(reset, "reset an instance"), (fork, "fork an instance"), (query, "ask an orchestrator")] {
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains(what) && error.to_string().contains("127.0.0.1"), "{error}");
        let error = CodedError::from(error);
        assert_eq!(error.code().as_str(), "DW0029");
        assert!(error.advice().unwrap().contains("rewind"), "{error:?}");
    }
}

#[tokio::test]
async fn calling_an_entity_is_said_to_need_our_scheduler_at_once_and_what_to_do_without() {
    let client = empty().await;
    let counter = "@counter@a".parse::<EntityId>().unwrap();
    let error = client.call_entity(&counter, "add", None, &EntityCall::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("cannot call an entity from outside"), "{error}");
    assert!(error.advice().unwrap().contains("start an orchestration that calls it"), "{error:?}");
}

#[tokio::test]
async fn a_call_of_the_protocol_that_is_missing_is_unsupported_too() {
    let client = empty().await;
    let error = client.list_page(&InstanceFilter::default(), 10, None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("does not support this call"), "{error}");
}

/// An address whose packets are dropped is found out by nothing but the time that connecting takes: that is no contact.
#[tokio::test]
async fn a_long_call_gives_up_on_a_scheduler_whose_machine_does_not_answer_any_more() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let (server, client) = tokio::join!(
        listener.accept(),
        Client::connect(Connection {
            connect_timeout: Duration::from_millis(1_500),
            ..Connection::to(format!("http://{address}"))
        })
    );
    let client = client.unwrap();
    // Nobody takes a connection any more: once the kernel's queue is full, it drops what comes.
    let mut queued = Vec::new();
    while let Ok(connected) =
        tokio::time::timeout(Duration::from_millis(300), tokio::net::TcpStream::connect(address)).await
    {
        queued.push(connected.unwrap());
    }
    drop(server);
    let counter = "@counter@a".parse::<EntityId>().unwrap();
    let call = EntityCall { patience: Duration::from_secs(1), ..EntityCall::default() };
    let given_up = tokio::time::timeout(Duration::from_secs(30), client.call_entity(&counter, "add", None, &call));
    let error = given_up.await.expect("it gives up").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    drop((listener, queued));
}
