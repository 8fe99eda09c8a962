-- watch.lua: from the save of a script under --watch to its next run. Prints
-- the median of some saves in seconds. Each run of the script prints its
-- clock, which all processes share.

local SAVES = 5

local name = os.tmpname()

local function save(number)
  local file <close> = assert(io.open(name, "w"))
  file:write("-- ", number, "\nprint(monotonic())\n",
    "io.stdout:flush()\n")
end

save(0)
local command = ("sh -c 'echo $$; exec %s --watch %s' 2>/dev/null")
  :format(arg[-1], name)
local pipe <close> = assert(io.popen(command))
local pid = pipe:read("n", "l")
assert(pipe:read("n"), "no first run")
local late = {}
for i = 1, SAVES do
  sleep(0.2) -- the watcher is at rest, as it is when a user saves
  local begin = monotonic()
  save(i)
  late[i] = assert(pipe:read("n"), "no other run") - begin
end
kill(pid, "INT")
os.remove(name)
table.sort(late)
print(late[(SAVES + 1) // 2])
