--- Reads the command line: chunk(argv, string).
--
-- Returns a table of what was asked for, the index of the script (of no
-- argument without one), and how to use the command; or nil, what is wrong, and
-- that.
local argv, string = ...
local progname = argv[0] ~= nil and argv[0] ~= "" and argv[0] or "cluarun"

local usage = [==[
usage: %s [options] [script [args]]
Available options are:
  -e stat   execute string 'stat'
  -i        enter interactive mode after executing 'script'
  -l mod    require library 'mod' into global 'mod'
  -l g=mod  require library 'mod' into global 'g'
  -v        show version information
  -E        ignore environment variables
  -W        turn warnings on
  --        stop handling options
  -         stop handling options and execute stdin
  --deadlock=MODE
            what to do about a deadlock: report it (as a rule), raise an error
            in the acquire that closed a cycle as well, or off
  --watch   run the script again when it or a file it loaded is saved
  --help    show this text
  --version show the version of cluarun]==]

local deadlock_modes = { off = true, report = true, raise = true }

-- What was asked for, and the index of the script; or nil and the index of a
-- bad option.
local function read()
  local has, i = {}, 1
  while argv[i] do
    local option = argv[i]
    local letter = string.sub(option, 2, 2)
    if string.sub(option, 1, 1) ~= "-" or letter == "" then
      return has, i
    elseif option == "--" then
      return has, i + 1
    elseif option == "--help" or option == "--version"
      or option == "--watch" then
      has[option] = true
    elseif string.find(option, "^%-%-deadlock=") then
      has.deadlock = string.sub(option, 12)
      if not deadlock_modes[has.deadlock] then return nil, i end
    elseif string.find("EWiv", letter, 1, true) and #option == 2 then
      has[letter] = true
    elseif letter == "e" or letter == "l" then
      has[letter] = true
      if #option == 2 then
        local value = argv[i + 1]
        if not value or string.sub(value, 1, 1) == "-" then return nil, i end
        i = i + 1
      end
    else
      return nil, i
    end
    i = i + 1
  end
  return has, i
end

usage = string.format(usage, progname)
local has, script = read()
if has then return has, script, usage end
local option = argv[script]
local letter = string.sub(option, 2, 2)
return nil, string.format((letter == "e" or letter == "l")
  and "'%s' needs argument"
  or string.find(option, "^%-%-deadlock=")
  and "'%s': off, report or raise expected"
  or "unrecognized option '%s'", option), usage
