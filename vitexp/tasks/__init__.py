"""What a command that is no study asks for; a stem is the command's name."""
