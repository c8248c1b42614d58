//! A trip is a flight, a hotel and a car, of three companies that know nothing of each other: no transaction spans them. So each step
//! that is done leaves behind how to undo it, and when a later step fails, what was done is undone, last first.

use durawasm_guest::prelude::*;
use serde::{Deserialize, Serialize};

/// Where to.
#[derive(Serialize, Deserialize)]
struct Trip {
    traveller: String,
    city: String,
}

/// The numbers of the bookings.
#[derive(Serialize, Deserialize)]
struct Booked {
    flight: String,
    hotel: String,
    car: String,
}

/// How to undo a step.
enum Undo {
    Flight(String),
    Hotel(String),
}

/// Books a whole trip, or nothing.
#[orchestrator]
async fn book_trip(ctx: Context, trip: Trip) -> Result<Booked> {
    let mut done = Vec::new();
    match book(&ctx, &trip, &mut done).await {
        Ok(booked) => Ok(booked),
        Err(error) => {
            undo(&ctx, done).await?;
            Err(error.context(format!("the trip of {} was called off", trip.traveller)))
        }
    }
}

/// The steps. What has been done by the time that one fails is in `done`.
async fn book(ctx: &Context, trip: &Trip, done: &mut Vec<Undo>) -> Result<Booked> {
    let flight = ctx.call(book_flight, trip).await?;
    done.push(Undo::Flight(flight.clone()));
    let hotel = ctx.call(book_hotel, trip).await?;
    done.push(Undo::Hotel(hotel.clone()));
    // Nothing comes after the car, so it is never undone.
    let car = ctx.call(rent_car, trip).await?;
    Ok(Booked { flight, hotel, car })
}

/// Undoes the steps, last first. There is no way to undo an undoing, so it is tried for as long as it takes.
async fn undo(ctx: &Context, done: Vec<Undo>) -> Result<()> {
    let stubborn = Retry::attempts(u32::MAX).first(Duration::from_millis(100)).max_interval(Duration::from_secs(60));
    for step in done.into_iter().rev() {
        match step {
            Undo::Flight(number) => ctx.call(cancel_flight, number).retry(stubborn.clone()).await?,
            Undo::Hotel(number) => ctx.call(cancel_hotel, number).retry(stubborn.clone()).await?,
        }
    }
    Ok(())
}

/// Books a flight.
#[activity]
fn book_flight(trip: Trip) -> Result<String> {
    ensure!(trip.city != "Atlantis", "NoFlight"; "no flight goes to {}", trip.city);
    Ok(format!("flight-{}", trip.city))
}

/// Books a room.
#[activity]
fn book_hotel(trip: Trip) -> Result<String> {
    ensure!(trip.city != "Davos", "NoRoom"; "{} is full", trip.city);
    Ok(format!("hotel-{}", trip.city))
}

/// Rents a car.
#[activity]
fn rent_car(trip: Trip) -> Result<String> {
    ensure!(trip.city != "Venice", "NoCar"; "nobody drives in {}", trip.city);
    Ok(format!("car-{}", trip.city))
}

/// Gives a flight back.
#[activity]
fn cancel_flight(number: String) -> Result<()> {
    // An activity may run twice. That the second time does nothing is what makes it safe to try again.
    ensure!(number.starts_with("flight-"), "NoSuchBooking"; "{number} is no flight");
    Ok(())
}

/// Gives a room back. The hotel often does not answer the telephone.
#[activity]
fn cancel_hotel(number: String) -> Result<()> {
    ensure!(number.starts_with("hotel-"), "NoSuchBooking"; "{number} is no room");
    let moment = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    ensure!(moment.subsec_micros() % 3 != 0, "NoAnswer"; "nobody picks up");
    Ok(())
}

durawasm_guest::component!(book_trip, book_flight, book_hotel, rent_car, cancel_flight, cancel_hotel);
