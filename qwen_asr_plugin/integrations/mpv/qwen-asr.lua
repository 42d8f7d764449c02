-- SPDX-License-Identifier: Apache-2.0
-- Subtitles for what plays, made on this computer while it plays. Alt+t makes them, Alt+T stops the work.
-- Options go into script-opts/qwen-asr.conf, other keys into input.conf ("KEY script-binding qwen_asr/make").

local mp = require "mp"
local msg = require "mp.msg"
local utils = require "mp.utils"

local options = {
    command = "qwen-asr-plugin",
    language = "",
    norm = "default",
    context = "",
    model = "",
    engine = "",
    output_folder = "",
    overwrite = false,
    lookback = 2,
    osd = true,
}
require("mp.options").read_options(options, "qwen-asr")

local MAKE_KEY, STOP_KEY = "Alt+t", "Alt+T"
local LOOK_SECONDS = 0.25
local RELOAD_SECONDS = 2 -- between two reloads, at least
local NEAR_SECONDS = 30 -- cues from here to there around the playhead are worth a reload
local IDLE_RELOAD_SECONDS = 15 -- others wait this long
local KILL_SECONDS = 3
local TITLE = "Qwen3-ASR"
local STAGES = { open = "opening the file", load = "loading the model", recognize = "listening" }

local on_windows = package.config:sub(1, 1) == "\\"
local job -- what is being made for the file that plays, and shown
local running = {} -- jobs with a process, the one above and those that are ending
local offered -- the existing subtitle file that was last shown instead of making one
local overlay = mp.create_osd_overlay("ass-events")
local progress_shown -- what the overlay says

-- What the user sees -------------------------------------------------------------------------------------------------

local function say(text, seconds)
    msg.info(text)
    mp.osd_message("Subtitles: " .. text, seconds or 4)
end

local function complain(text)
    msg.error(text)
    mp.osd_message("Subtitles: " .. text, 10)
end

local function show_progress(text)
    if not options.osd or progress_shown == text then return end
    progress_shown = text
    if text == nil then
        overlay:remove()
        return
    end
    overlay.data = "{\\an9\\fs20\\bord1\\1a&H40&}" .. text
    overlay:update()
end

-- What plays ---------------------------------------------------------------------------------------------------------

local function local_file(name)
    local encoded = name:match("^file://(/.*)")
    if encoded then
        name = encoded:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end)
        return on_windows and name:gsub("^/(%a:)", "%1") or name
    end
    if name == "-" or name:find("^%a[%w+.-]+://") then return nil end
    return utils.join_path(mp.get_property("working-directory", ""), name)
end

-- The file with the sound, the number of its audio track, and the video if that is another file.
local function find_source()
    local playing = mp.get_property("path")
    if not playing then return nil, "nothing plays." end
    local tracks, chosen, audible = mp.get_property_native("track-list", {}), nil, false
    for _, track in ipairs(tracks) do
        if track.type == "audio" then
            audible = true
            if track.selected and not chosen then chosen = track end
        end
    end
    if not audible then return nil, "there is no sound in this file." end
    if not chosen then return nil, "choose an audio track first." end
    local external = chosen.external and chosen["external-filename"] or nil
    local media = local_file(external or playing)
    if not media then
        return nil, "only files on this computer can be worked on; download this first, for example with yt-dlp."
    end
    local number
    if chosen["ff-index"] then
        number = 0
        for _, track in ipairs(tracks) do
            local beside = track.type == "audio" and (track.external and track["external-filename"] or nil) == external
            if beside and track["ff-index"] and track["ff-index"] < chosen["ff-index"] then number = number + 1 end
        end
    end
    return {
        media = media,
        track = number,
        language = chosen.lang,
        video = external and local_file(playing) or nil,
    }
end

-- Subtitle tracks ----------------------------------------------------------------------------------------------------

local function track_of(file, other_than)
    for _, track in ipairs(mp.get_property_native("track-list", {})) do
        local ours = track.type == "sub" and track.external and track["external-filename"] == file
        if ours and track.id ~= other_than then return track end
    end
end

-- "sid" or "secondary-sid" where the track is shown as that, nil where it is not shown.
local function role_of(track)
    for _, role in ipairs({ "sid", "secondary-sid" }) do
        if mp.get_property_number(role) == track.id then return role end
    end
end

local function add(file, language, flag)
    mp.commandv("sub-add", file, flag, TITLE, language or "")
end

-- Puts `file` in the place of `before`: shown as that was, or not shown. Not by sub-reload, which selects the track,
-- loses its title, and like every removal of a track that is shown takes the user's secondary subtitle away.
local function replace_track(before, file, language)
    local role = role_of(before)
    add(file, language, "auto")
    local after = track_of(file, before.id)
    if not after then return end -- it cannot be read now; there will be a next time
    if role then mp.set_property_number(role, after.id) end
    mp.commandv("sub-remove", before.id)
end

-- The job ------------------------------------------------------------------------------------------------------------

local function read(file)
    local handle = io.open(file, "rb")
    if not handle then return nil end
    local text = handle:read("*a")
    handle:close()
    return text
end

local function new_job_file()
    if not on_windows then return os.tmpname() end -- makes it, and nobody else can have made it
    local name = ("qwen-asr-mpv-%d-%d"):format(utils.getpid(), math.floor(mp.get_time() * 1000))
    local file = utils.join_path(os.getenv("TEMP") or os.getenv("TMP") or ".", name)
    local handle = io.open(file, "wb")
    if not handle then return nil end
    handle:close()
    return file
end

local function clean_up(which)
    for _, suffix in ipairs({ "", ".srt", ".json", ".part" }) do
        os.remove(which.file .. suffix)
    end
end

-- Lets the process end; what is shown already stays.
local function stop(which)
    if which.process and not which.stopped then
        which.stopped = true
        os.remove(which.file) -- the process ends because of this
        mp.add_timeout(KILL_SECONDS, function()
            if which.process then mp.abort_async_command(which.process) end
        end)
    end
end

local function close_job()
    if not job then return end
    local which = job
    job = nil
    which.timer:kill()
    show_progress(nil)
    if which.process then
        stop(which)
    else
        clean_up(which)
    end
end

local function starts(file)
    local seconds = {}
    for h, m, s, ms in (read(file) or ""):gmatch("(%d+):(%d+):(%d+),(%d+) %-%->") do
        seconds[#seconds + 1] = h * 3600 + m * 60 + s + ms / 1000
    end
    return seconds
end

-- Whether there are new cues that the viewer could miss soon.
local function is_urgent(which)
    local now = mp.get_property_number("time-pos")
    if not now then return false end
    for _, second in ipairs(starts(which.cues)) do
        if not which.loaded[second] and math.abs(second - now) <= NEAR_SECONDS then return true end
    end
    return false
end

local function note_loaded(which)
    which.loaded, which.loaded_revision, which.loaded_at = {}, which.state.revision, mp.get_time()
    for _, second in ipairs(starts(which.cues)) do
        which.loaded[second] = true
    end
end

-- Shows new cues: at once the first time, later only while none is on the screen, because a reload would make it blink.
-- Returns true when all is shown that there will be.
local function show_cues(which)
    local state = which.state
    if state.revision == 0 then return true end
    if not which.loaded_revision then
        note_loaded(which)
        add(which.cues, state.language or options.language, "select")
    end
    local track = track_of(which.cues)
    if not track then return true end -- the user has removed it
    local role = role_of(track)
    local saved = state.status == "written" and state.path or nil
    if not saved and which.loaded_revision == state.revision then return true end
    if not role and not which.ended then return false end -- not shown: there is time until the end, or until it is
    local text = role and mp.get_property(role == "sid" and "sub-text" or "secondary-sub-text") or ""
    if text ~= "" and not which.hurried then return false end
    if not which.ended then
        local age = mp.get_time() - which.loaded_at
        if age < RELOAD_SECONDS or (age < IDLE_RELOAD_SECONDS and not is_urgent(which)) then return false end
    end
    note_loaded(which)
    replace_track(track, saved or which.cues, state.language or options.language)
    return true
end

local function refresh()
    if not job then return end
    local text = read(job.file .. ".json")
    if text and text ~= job.text then
        local state = utils.parse_json(text)
        if state then
            job.text, job.state = text, state
            msg.verbose(text)
            for number = job.warned + 1, #state.warnings do
                msg.warn(state.warnings[number])
                mp.osd_message("Subtitles: " .. state.warnings[number], 6)
                job.warned = number
            end
        end
    end
    if not job.state then return end
    local all_shown = show_cues(job)
    if job.ended then
        if all_shown then close_job() end
        return
    end
    local stage = STAGES[job.state.stage] or job.state.stage
    show_progress("Subtitles " .. (job.state.percent and job.state.percent .. " %" or stage))
end

local function use_existing(file)
    offered = file
    local track = track_of(file)
    for _, other in ipairs(mp.get_property_native("track-list", {})) do
        local name = other.type == "sub" and other.external and other["external-filename"]
        if name and local_file(name) == file then track = other end
    end
    if track then
        mp.set_property_number("sid", track.id)
    else
        add(file, options.language, "select")
    end
    local _, name = utils.split_path(file)
    say(("using %s. Press again to make new ones."):format(name))
end

local function last_line(text)
    local last
    for line in (text or ""):gmatch("[^\r\n]+") do
        if line:find("%S") then last = line end
    end
    return last
end

-- Tells how the process has ended; its last words were read by refresh().
local function conclude(which, result)
    local state = which.state or {}
    local _, name = utils.split_path(state.path or "")
    local why = ("error %s: %s %s"):format(state.code or "", state.message or "", state.hint or "")
    if which.stopped or state.status == "cancelled" then
        say("stopped.")
    elseif state.status == "written" then
        say("saved as " .. name .. ".")
    elseif state.status == "found" then
        use_existing(state.path)
    elseif state.status == "nothing" then
        say("nobody speaks in this.")
    elseif state.status == "unsaved" then
        complain("complete, but not kept. " .. why)
    elseif state.status == "failed" then
        complain(why)
    elseif result.error_string == "init" or result.status == 127 then
        complain(
            ("%s cannot be started. Run `qwen-asr-plugin mpv install` again, or set command in "):format(options.command)
                .. "script-opts/qwen-asr.conf."
        )
    else
        complain(
            ("the program ended with status %s. %s"):format(
                tostring(result.status),
                last_line(result.stderr) or "`qwen-asr-plugin doctor` checks the installation."
            )
        )
    end
end

local function expanded(folder, beside)
    local path = mp.command_native({ "expand-path", folder })
    return utils.join_path(utils.split_path(beside), path) -- a relative one is meant from where the file is
end

local function arguments(source, file, again)
    local list = { options.command, "mpv", "run", "--job", file }
    local function put(name, value)
        if value and value ~= "" then
            list[#list + 1] = "--" .. name
            list[#list + 1] = tostring(value)
        end
    end
    local position = (mp.get_property_number("time-pos") or 0) - options.lookback
    put("start-at", ("%.3f"):format(math.max(0, position)))
    put("track", source.track)
    put("audio-language", source.language)
    put("video", source.video)
    put("language", options.language)
    put("norm", options.norm)
    put("context", options.context)
    put("model-dir", options.model ~= "" and mp.command_native({ "expand-path", options.model }))
    put("output-dir", options.output_folder ~= "" and expanded(options.output_folder, source.video or source.media))
    for option in options.engine:gmatch("[^;]+") do
        put("option", option)
    end
    if options.overwrite then list[#list + 1] = "--overwrite" end
    if again then list[#list + 1] = "--again" end
    list[#list + 1] = "--"
    list[#list + 1] = source.media
    return list
end

-- The keys -----------------------------------------------------------------------------------------------------------

local function make()
    if job and not job.ended then
        local percent = job.state and job.state.percent
        return say(("at work%s. %s stops it."):format(percent and (", " .. percent .. " % done") or "", STOP_KEY))
    end
    local source, problem = find_source()
    if not source then return complain(problem) end
    if job then -- it waits for the moment to show its last cues
        job.hurried = true
        show_cues(job)
        close_job()
    end
    local file = new_job_file()
    if not file then return complain("no temporary file can be made.") end
    local shown = offered and mp.get_property_number("sid")
    local again = false
    for _, track in ipairs(mp.get_property_native("track-list", {})) do
        local name = track.type == "sub" and track.id == shown and track["external-filename"]
        if name and local_file(name) == offered then again = true end
    end
    local which = { file = file, cues = file .. ".srt", warned = 0 }
    which.timer = mp.add_periodic_timer(LOOK_SECONDS, refresh)
    job = which
    show_progress("Subtitles: starting")
    running[which] = true
    which.process = mp.command_native_async({
        name = "subprocess",
        args = arguments(source, file, again),
        playback_only = false,
        capture_stdout = true, -- the process ends when nobody reads this any more
        capture_stderr = true,
    }, function(_, result, failure)
        which.process = nil
        running[which] = nil
        if which ~= job then return clean_up(which) end
        refresh()
        which.ended = true
        show_progress(nil)
        conclude(which, result or { status = failure })
        local lasting = which.state and not which.stopped and which.state.status ~= "found"
        if lasting then refresh() else close_job() end
    end)
end

local function cancel()
    if job and not job.ended then
        if not job.stopped then say("stopping.") end
        stop(job)
    else
        say("nothing is being made.")
    end
end

mp.add_key_binding(MAKE_KEY, "make", make)
mp.add_key_binding(STOP_KEY, "stop", cancel)
-- A cue has gone from the screen, or another track is shown: the moment to show new ones.
for _, property in ipairs({ "sub-text", "secondary-sub-text", "sid", "secondary-sid" }) do
    mp.observe_property(property, "native", refresh)
end
mp.register_event("end-file", function()
    offered = nil
    close_job()
end)
mp.register_event("shutdown", function()
    if job then clean_up(job) end
    for which in pairs(running) do
        clean_up(which) -- mpv ends the process, which may not come to it
    end
end)
