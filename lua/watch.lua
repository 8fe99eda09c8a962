--- cluarun --watch: runs the script, and again whenever a file that it has
-- loaded is saved.
--
-- The watcher runs nothing of the script's. Each run is a child of it, which
-- reports what it loads, with a stamp of the file as it was then; so a file
-- that was saved before the watch on it began is noticed, too. Folders are
-- watched, not files: editors often put a new file in the place of the old one.
local host = ...
local argv = host.argv
local progname = argv[0] ~= nil and argv[0] ~= "" and argv[0] or "cluarun"

local SETTLE = 0.01 -- seconds: what is saved so soon after belongs to it
local PATIENCE = 1 -- seconds that a run has to end when it is asked to

local function say(text, ...)
  host.say(progname .. ": " .. text:format(...))
end

local has, script, usage = host.load "options"(argv, string)
if not has then
  say("%s", script)
  host.say(usage)
  return false, 1
elseif has["--help"] or has["--version"] then
  return true
elseif has.i or not has.e and (not argv[script] or argv[script] == "-") then
  say(has.i and "--watch and -i do not go together"
    or "--watch needs a script that is a file")
  host.say(usage)
  return false, 1
end

-- Files of the present run: name -> stamp ("": it was not there).
local files = {}
-- Watched folders: number of the watch -> name in the folder -> set of files
-- that something of that name concerns.
local concerned = {}
local changed -- the files that were saved during this run, in order
local partial -- of the run's reports: the beginning of one

local function note_if_changed(file)
  local stamp = host.stamp(file)
  if stamp == "" or stamp == files[file] or not files[file] then return end
  files[file] = stamp
  for _, name in ipairs(changed) do
    if name == file then return end
  end
  changed[#changed + 1] = file
end

-- ---- which folder tells of a file ----

local function split(path)
  local folder, name = path:match "^(.-)/*([^/]+)/*$"
  if not folder then return "/", path end
  if folder == "" then folder = path:sub(1, 1) == "/" and "/" or "." end
  return folder, name
end

local complained = {}

-- Has the folder tell of that name: nil when there is no such folder.
local function watch_in(folder, name, file)
  local number, message, missing = host.add(folder)
  if not number then
    if missing then return nil end
    if not complained[folder] then
      say("cannot watch %s: %s", folder, message)
      complained[folder] = true
    end
    return true
  end
  local names = concerned[number] or {}
  concerned[number] = names
  names[name] = names[name] or {}
  names[name][file] = true
  return true
end

-- Where a folder is missing, the one above tells when it is made.
local function watch_path(path, file)
  local folder, name = split(path)
  while not watch_in(folder, name, file) and folder ~= "." and folder ~= "/" do
    folder, name = split(folder)
  end
end

local function watch_file(file)
  watch_path(file, file)
  local real = host.real(file)
  if real and real ~= file then watch_path(real, file) end
end

-- ---- what happens ----

-- A folder on their way may be another one now.
local function look_again(set)
  for file in pairs(set) do
    if files[file] then
      watch_file(file)
      note_if_changed(file)
    end
  end
end

local function on_event(number, name)
  local names = concerned[number]
  if number < 0 then -- some were lost
    for file in pairs(files) do note_if_changed(file) end
  elseif names and name then
    look_again(names[name] or {})
  elseif names then -- the folder has gone
    concerned[number] = nil
    for _, set in pairs(names) do look_again(set) end
  end
end

local function on_report(stamp, file)
  files[file] = stamp
  watch_file(file)
  note_if_changed(file)
end

-- Waits, at most so many seconds. Returns a signal that is to end the watching.
local function wait(seconds)
  host.ended() -- reaps
  local events, reports, signal = host.wait(seconds)
  local rest = 1
  partial = partial .. reports
  for stamp, file, after in partial:gmatch "(%Z*)%z(%Z*)%z()" do
    on_report(stamp, file)
    rest = after
  end
  partial = partial:sub(rest)
  for _, event in ipairs(events) do on_event(event[1], event[2]) end
  return signal
end

-- ---- the end of a run ----

-- Waits until it has ended, with all that descends from it, at most so many
-- seconds: has it? Also returns a signal.
local function await_end(seconds)
  local deadline, signal = host.now() + seconds, nil
  while not host.ended() do
    local time = deadline - host.now()
    if time <= 0 then return false, signal end
    signal = wait(time) or signal
  end
  return true, signal
end

local function end_run(seconds)
  local over, signal = await_end(seconds)
  local force = false
  while not over do
    for _, pid in ipairs(host.descendants()) do host.kill(pid, force) end
    local another
    over, another = await_end(force and 0.1 or PATIENCE)
    signal = another or signal
    force = true
  end
  return signal
end

-- ---- the loop ----

local function list(names)
  local shown = {}
  for i, name in ipairs(names) do shown[i] = name:gsub("^%./", "") end
  if #shown > 3 then
    shown = { shown[1], shown[2], #shown - 2 .. " others" }
  end
  local last = table.remove(shown)
  if #shown == 0 then return last end
  return table.concat(shown, ", ") .. " and " .. last
end

-- Waits until something was saved, and a moment more. Returns a signal.
local function wait_for_change()
  local signal
  while #changed == 0 and not signal do signal = wait() end
  local n
  while not signal and n ~= #changed do
    n = #changed
    signal = wait(SETTLE)
  end
  return signal
end

local SIGINT = 2

host.open()
while true do
  files, changed, partial = {}, {}, ""
  local name = argv[script]
  if name then on_report(host.stamp(name), name) end
  if host.run() then return true end
  local signal = wait_for_change()
  if not signal then say("%s changed, running again", list(changed)) end
  -- Ctrl-C reaches the run, too, which may still have something to say.
  signal = end_run(signal and 0.2 or 0) or signal
  if signal then
    if signal ~= SIGINT then host.die(signal) end
    return false, 0
  end
end
