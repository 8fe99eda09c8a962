-- A bar that shows how far a map has come, on stderr.
--
-- On a terminal it is redrawn in its line, which is cleared in the end;
-- elsewhere a line is written now and then.
local core = ...
local monotonic = core.cluarun.monotonic

local WIDTH = 79 -- of the line: a terminal of 80 does not wrap
local OFTEN, FIRST, SELDOM = 0.1, 2, 10 -- seconds: on a terminal, elsewhere

local Progress = {}
Progress.__index = Progress

local function new(job)
  local now, terminal = monotonic(), core.terminal()
  return setmetatable({
    job = job, total = job.total, begun = now, terminal = terminal,
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

local function figures(self, now)
  local done = self.total - self.job.left
  local rate = done / math.max(now - self.begun, 1e-9)
  local text = ("%d/%d  %s"):format(done, self.total, rate_text(rate))
  if done > 0 and done < self.total then
    text = text .. "  " .. time_text((self.total - done) / rate) .. " left"
  end
  return done, text
end

local function line(self, now)
  local done, text = figures(self, now)
  local share = self.total > 0 and done / self.total or 1
  local percent = self.total > 0 and done * 100 // self.total or 100
  local room = WIDTH - #text - 9
  local full = math.floor(share * room)
  if room < 10 then return ("%3d%%  %s"):format(percent, text) end
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
    io.stderr:write("\r", line(self, now), "\27[K")
    self.due = now + OFTEN
  else
    local done, text = figures(self, now)
    io.stderr:write(("%3d%%  %s\n"):format(done * 100 // self.total, text))
    self.due = now + SELDOM
  end
  return self.due
end

--- Clears up.
function Progress:finish()
  if self.finished then return end
  self.finished = true
  if self.shown then io.stderr:write "\r\27[K" end
end

Progress.__close = Progress.finish

return new
