"""The commands of `minirun fault`."""
