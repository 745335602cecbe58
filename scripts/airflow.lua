-- Apache Airflow's metadata database: its own columns, under its own Fernet key.
--
-- Copy it beside the database as keyturn.lua, then: keyturn init, keyturn keyring import airflow, keyturn rotate airflow.
-- Airflow is stopped meanwhile; to keep it running, declare it: consumers = { "airflow" }.

database "sqlite:airflow.db"
keyring "airflow" { core = "fernet" }
column "connection.password" { keyring = "airflow", key = "id", where = "is_encrypted" }
column "connection.extra"    { keyring = "airflow", key = "id", where = "is_extra_encrypted" }
column "variable.val"        { keyring = "airflow", key = "id", where = "is_encrypted" }
