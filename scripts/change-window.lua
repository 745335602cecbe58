-- Refuses a run outside of the change window, unless it is an emergency.
--
-- Copy this file into the folder "scripts" of the instance. Times are UTC; a schedule's "window" puts runs off instead of
-- refusing them, and knows time zones.

local window = { days = { Sat = true, Sun = true }, from = 1, to = 5 }

local names = { "Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed" }

-- 1970-01-01 was a Thursday.
local function weekday(seconds) return names[seconds // 86400 % 7 + 1] end

hook "before" (function(run)
  if run.urgency == "emergency" then
    print("an emergency is not held back")
    return
  end
  local now = time.now()
  local day, hour = weekday(now), now % 86400 // 3600
  if not window.days[day] or hour < window.from or hour >= window.to then
    error(("it is %s %02d h UTC, and changes are made on Sat and Sun from %02d to %02d h"):format(
      day, hour, window.from, window.to), 0)
  end
end)
