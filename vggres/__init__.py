"""vggres: why do plain networks get worse with depth, and what does a shortcut change?"""
