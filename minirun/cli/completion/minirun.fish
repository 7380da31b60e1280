# fish completion for minirun.

function __minirun_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l answers (env _MINIRUN_COMPLETE=complete_fish $words[1] $words[2..-1] 2>/dev/null)
    set -l directive $answers[-1]
    if test (count $answers) -gt 1
        printf '%s\n' $answers[1..-2]
    end
    switch "$directive"
        case '*files*'
            __fish_complete_path (commandline -ct)
        case '*directories*'
            __fish_complete_directories (commandline -ct) ''
    end
end

complete -c minirun -f -a '(__minirun_complete)'
