-- Tells a chat how each run ended.
--
-- Copy this file into the folder "scripts" of the instance, and name the chat in keyturn.lua:
--
--   webhook "ops" { url = "https://chat.example/hooks/1" }

local marks = { done = "done", doneWithExceptions = "done, but something needs a look", cancelled = "cancelled" }

local function tell(run)
  local text = ("Keyturn: %s of \"%s\" (run %d, by %s): %s"):format(
    run.kind, run.keyring, run.id, run.actor, marks[run.state] or run.state)
  if run.message then text = text .. ": " .. run.message end
  local answer = notify.webhook("ops", { text = text })
  if answer.status >= 300 then error("the chat answered with status " .. answer.status, 0) end
end

-- However a run ends, and also where it waits for a person.
hook "always" (tell)
hook "on_failure" (tell)
