-- Hands a new key to the application that holds keys itself, and says for it that it can open with it.
--
-- Copy this file into the folder "scripts" of the instance, and declare both in keyturn.lua:
--
--   keyring "airflow" { core = "fernet", consumers = { "airflow-web" } }
--   command "publish" { argv = { "/usr/local/bin/publish-keys", "airflow" }, timeout = "5m" }
--
-- The program exports the keys (keyturn keyring export), puts them where the application reads them, restarts it or has it
-- reload, and ends with status 0 once the application has opened a value that the new key sealed. The key bytes pass
-- through that program alone: no script ever sees them.

local consumer = "airflow-web"

hook "published" (function(run)
  if run.keyring ~= "airflow" then return end
  local ended = commands.run("publish", run.new_key)
  print(ended.output)
  if ended.status ~= 0 then
    error(("%s did not take the key %s: status %d, %s"):format(consumer, run.new_key, ended.status, ended.errors), 0)
  end
  runs.acknowledge(run.id, consumer)
end)
