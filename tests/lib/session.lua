--- Sessions at the prompt of the program under test, on a pseudo terminal.
local build = arg[-1]:match "^(.*)/[^/]*$" or "build"
package.cpath = build .. "/tests/?.so;" .. package.cpath
local pty = dofile "tests/lib/pty.lua"
local M = {}

--- A folder of the test's own: the home of its sessions.
M.home = os.tmpname()
os.remove(M.home)
os.execute("mkdir " .. M.home)

--- Starts a session. options: env = list of NAME=VALUE, args = list, rows,
-- columns, wait = false: do not wait for the first prompt, program.
function M.start(options)
  options = options or {}
  local argv = { "env", "-u", "NO_COLOR", "-u", "XDG_STATE_HOME",
    "HOME=" .. M.home, "TERM=xterm", "INPUTRC=/dev/null", "LC_ALL=C.UTF-8" }
  table.move(options.env or {}, 1, #(options.env or {}), #argv + 1, argv)
  argv[#argv + 1] = options.program or arg[-1]
  table.move(options.args or {}, 1, #(options.args or {}), #argv + 1, argv)
  local s = pty.start(argv, options)
  if options.wait ~= false then s:expect "> $" end
  return s
end

--- Returns a function test(name, f, options) that runs f(s) as one of tap's
-- tests in a session of its own.
function M.tests(tap)
  return function(name, f, options)
    tap.test(name, function()
      local s <close> = M.start(options)
      f(s)
    end)
  end
end

--- Removes the folder.
function M.done()
  os.execute("rm -rf " .. M.home)
end

return M
