-- A bar that shows how far a job has come, on stderr. What reads an iterator
-- does not know its end: there is no bar then, only figures.
--
-- On a terminal it is redrawn in its line, which is cleared in the end;
-- elsewhere a line is written now and then, and one when all is done.
local core = ...
local monotonic = core.cluarun.monotonic

local WIDTH = 79 -- of the line: a terminal of 80 does not wrap
local OFTEN, FIRST, SELDOM = 0.1, 2, 10 -- seconds: on a terminal, elsewhere

local Progress = {}
Progress.__index = Progress

local function new(job)
  local now, terminal = monotonic(), core.terminal()
  return setmetatable({
    job = job, begun = now, terminal = terminal,
    due = now + (terminal and OFTEN or FIRST), shown = false
  }, Progress)
end

local function time_text(seconds)
  if seconds >= 1e9 or seconds ~= seconds then return "?" end
  seconds = math.floor(seconds + 0.5)
  if seconds < 3600 then
    return ("%d:%02d"):format(seconds // 60, seconds % 60)
  end
  return ("%d:%02d:%02d"):format(seconds // 3600, seconds // 60 % 60,
    seconds % 60)
end

local function rate_text(rate)
  if rate >= 1e6 then return ("%.1fM/s"):format(rate / 1e6) end
  if rate >= 1e4 then return ("%.0fk/s"):format(rate / 1e3) end
  return (rate >= 100 and "%.0f/s" or "%.1f/s"):format(rate)
end

local function figures(done, total, seconds)
  local rate = done / math.max(seconds, 1e-9)
  if not total then return ("%d  %s"):format(done, rate_text(rate)) end
  local text = ("%d/%d  %s"):format(done, total, rate_text(rate))
  if done > 0 and done < total then
    text = text .. "  " .. time_text((total - done) / rate) .. " left"
  end
  return text
end

-- `bar`: for a terminal.
local function line(self, now, bar)
  local done, total = self.job:so_far()
  local text = figures(done, total, now - self.begun)
  if not total then return text end
  local share = total > 0 and done / total or 1
  local percent = total > 0 and done * 100 // total or 100
  local room = WIDTH - #text - 9
  local full = math.floor(share * room)
  if not bar or room < 10 then return ("%3d%%  %s"):format(percent, text) end
  return ("%3d%% [%s%s] %s"):format(percent, ("#"):rep(full),
    ("."):rep(room - full), text)
end

--- Draws what is due; returns when it will be again.
function Progress:show()
  if self.finished then return nil end
  if self.job.done then
    self:finish()
    return nil
  end
  local now = monotonic()
  if now < self.due then return self.due end
  if self.terminal then
    self.shown = true
    io.stderr:write("\r", line(self, now, true), "\27[K")
    self.due = now + OFTEN
  else
    io.stderr:write(line(self, now), "\n")
    self.due = now + SELDOM
  end
  return self.due
end

--- Clears up.
function Progress:finish()
  if self.finished then return end
  self.finished = true
  if self.shown then io.stderr:write "\r\27[K" end
  if not self.terminal and self.job.done and not self.job.failed then
    io.stderr:write(line(self, monotonic()), "\n")
  end
end

Progress.__close = Progress.finish

return new
