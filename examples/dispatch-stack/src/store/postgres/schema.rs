//! The PostgreSQL schema and how it comes to be: by numbered migrations, made by whichever pod is first, while the others wait.
//! Uniqueness that the platform's promises rest on is held here, by the database, and nowhere else.

use tokio_postgres::Client;

use super::link::reason;
use crate::store::schema::occupied;

/// Advisory locks of this application, by its name in ASCII. While one pod writes, no other does: rides, steps and stamps are in the
/// ledger in the order in which they were committed, as in a database with one writer.
pub(super) const WRITER_LOCK: i64 = 0x6469_7370_6174_6368;
/// Held by who makes the schema.
const SCHEMA_LOCK: i64 = WRITER_LOCK + 1;

/// Each is made once, in this order. One that was released never changes; what is new is another one behind it.
const MIGRATIONS: [&str; 1] = [TABLES];

const TABLES: &str = concat!(
    "
CREATE TABLE rides (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id text NOT NULL UNIQUE,
  key text NOT NULL,
  dedupe_key text UNIQUE,
  rider text NOT NULL,
  from_lat double precision NOT NULL, from_lng double precision NOT NULL,
  to_lat double precision NOT NULL, to_lng double precision NOT NULL,
  zone bigint NOT NULL,
  state text NOT NULL,
  driver text,
  version bigint NOT NULL,
  requested_at bigint NOT NULL,
  changed_at bigint NOT NULL,
  taken_by text
);
CREATE INDEX rides_requested ON rides (zone, seq) WHERE state = 'requested' AND taken_by IS NULL;
CREATE INDEX rides_offered ON rides (seq) WHERE state = 'offered';
CREATE INDEX rides_by_driver ON rides (driver) WHERE state IN ",
    occupied!(),
    ";
CREATE INDEX rides_driven ON rides (changed_at) WHERE state IN ('assigned','en_route','on_trip');
CREATE INDEX rides_open ON rides (requested_at) WHERE state NOT IN ('completed','cancelled','expired');
CREATE TABLE steps (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  ride bigint NOT NULL REFERENCES rides (seq),
  version bigint NOT NULL,
  state text NOT NULL,
  driver text,
  at bigint NOT NULL,
  by text NOT NULL
);
CREATE INDEX steps_by_ride ON steps (ride, seq);
CREATE TABLE charges (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  ride bigint NOT NULL REFERENCES rides (seq),
  cents bigint NOT NULL,
  at bigint NOT NULL
);
CREATE INDEX charges_by_ride ON charges (ride);
CREATE TABLE leases (zone bigint PRIMARY KEY, holder text NOT NULL, until bigint NOT NULL);
CREATE TABLE matchers (holder text PRIMARY KEY, until bigint NOT NULL);
"
);

/// The name of the index that makes double dispatch impossible, whatever the services believe.
pub(super) const ONE_RIDE_A_DRIVER: &str = "one_ride_a_driver";

const UNIQUE_DRIVER: &str =
    concat!("CREATE UNIQUE INDEX one_ride_a_driver ON rides (driver) WHERE state IN ", occupied!());

/// Makes what is missing. Any number of pods may do so at once.
///
/// # Errors
/// Why not: the server refuses it, or the schema is one of a newer version. The connection must be dropped then.
pub(super) async fn prepare(client: &Client, unique_driver_index: bool) -> Result<(), String> {
    // Of these statements some take long on a large table: the limits of the session are for those of a running platform.
    let begin = format!(
        "BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '30s'; SELECT pg_advisory_xact_lock({SCHEMA_LOCK});
         CREATE TABLE IF NOT EXISTS dispatch_schema (version bigint NOT NULL)"
    );
    let made = async {
        client.batch_execute(&begin).await?;
        let found = client
            .query_one(
                "SELECT coalesce(max(version), 0), to_regclass($1) IS NOT NULL FROM dispatch_schema",
                &[&ONE_RIDE_A_DRIVER],
            )
            .await?;
        let (version, has_index) = (found.try_get::<_, i64>(0)?, found.try_get::<_, bool>(1)?);
        for (migration, number) in MIGRATIONS.iter().zip(1_i64..).skip_while(|(_, number)| *number <= version) {
            client.batch_execute(migration).await?;
            client.execute("INSERT INTO dispatch_schema (version) VALUES ($1)", &[&number]).await?;
        }
        if unique_driver_index && !has_index {
            client.batch_execute(UNIQUE_DRIVER).await?;
        }
        client.batch_execute("COMMIT").await?;
        Ok::<i64, tokio_postgres::Error>(version)
    };
    let version = made.await.map_err(|error| format!("its schema cannot be made: {}", reason(&error)))?;
    let newest = MIGRATIONS.iter().zip(1_i64..).last().map_or(0, |(_, number)| number);
    if version > newest {
        return Err(format!("its schema is {version}, and {newest} is the newest that this version knows"));
    }
    Ok(())
}
