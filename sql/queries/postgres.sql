-- What the embedded server is asked when it starts (app/core/postgres.py).

-- name: create_database
CREATE DATABASE gateway;
